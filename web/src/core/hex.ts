// A hex dump, row by row, and what a WebAssembly module is made of.

export const HEX_ROW_BYTES = 16;

export function hexRow(data: Uint8Array, row: number): string {
  const at = row * HEX_ROW_BYTES;
  const bytes = data.subarray(at, at + HEX_ROW_BYTES);
  let digits = '';
  let text = '';
  for (let n = 0; n < HEX_ROW_BYTES; n++) {
    const byte = bytes[n];
    digits += byte === undefined ? '   ' : `${byte.toString(16).padStart(2, '0')} `;
    if (n === 7) digits += ' ';
    if (byte !== undefined) text += byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '·';
  }
  return `${at.toString(16).padStart(8, '0')}  ${digits} ${text}`;
}

const SECTIONS = ['custom', 'type', 'import', 'function', 'table', 'memory', 'global', 'export', 'start', 'element', 'code', 'data', 'data count', 'tag'];

/** The sections of a WebAssembly module with their sizes, or null if it is none. */
export function wasmSections(data: Uint8Array): { name: string; bytes: number }[] | null {
  if (data.length < 8 || data[0] !== 0 || data[1] !== 0x61 || data[2] !== 0x73 || data[3] !== 0x6d) return null;
  const sections: { name: string; bytes: number }[] = [];
  let at = 8;
  while (at < data.length && sections.length < 1000) {
    const name = SECTIONS[data[at++]!];
    let bytes = 0;
    let shift = 0;
    for (;;) {
      const byte = data[at++];
      if (name === undefined || byte === undefined || shift > 28) return null;
      bytes += (byte & 0x7f) * 2 ** shift;
      shift += 7;
      if (byte < 128) break;
    }
    sections.push({ name: name!, bytes });
    at += bytes;
  }
  return sections;
}
