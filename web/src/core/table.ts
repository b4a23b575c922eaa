// CSV and TSV as rows of cells (RFC 4180, and what spreadsheets make of it).

export function parseTable(text: string, separator: string, rowsMax: number): { rows: string[][]; more: boolean } {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let quoted = false;
  const endCell = () => {
    row.push(cell);
    cell = '';
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (quoted) {
      if (char !== '"') cell += char;
      else if (text[at + 1] === '"') cell += text[at++]!;
      else quoted = false;
    } else if (char === '"' && cell === '') {
      quoted = true;
    } else if (char === separator) {
      endCell();
    } else if (char === '\n') {
      if (cell.endsWith('\r')) cell = cell.slice(0, -1);
      endCell();
      rows.push(row);
      row = [];
      if (rows.length >= rowsMax) return { rows, more: at + 1 < text.length };
    } else {
      cell += char;
    }
  }
  if (cell !== '' || row.length > 0) {
    endCell();
    rows.push(row);
  }
  return { rows, more: false };
}
