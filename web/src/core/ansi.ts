// Terminal output as rows of styled text. Colours and weights are kept, every other control is
// dropped: the page draws text and nothing that a program may command. Rows are found once; what a
// row looks like is worked out when it is drawn, so that a hundred thousand rows cost little.

export interface Style {
  /** Palette index 0 to 255, or a colour as `#rrggbb`; null is the default. */
  fg: number | string | null;
  bg: number | string | null;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  strike: boolean;
  inverse: boolean;
}

export interface Run {
  text: string;
  style: Style;
}

export interface Rows {
  text: string;
  /** Row n is text from starts[n] to ends[n]. */
  starts: Uint32Array;
  ends: Uint32Array;
  /** The style that each row begins with. */
  styles: Style[];
  /** Rows that there are and are not shown. */
  more: number;
}

export const PLAIN: Style = Object.freeze({
  fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false,
});

/** A line longer than this is drawn as several rows. */
export const ROW_CHARS_MAX = 1000;
export const ROWS_MAX = 500_000;

// CSI; OSC, DCS, PM, APC and SOS with their strings; two-character escapes; and other controls.
const CONTROLS =
  /\x1b\[([0-9:;<=>?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]/g;

/** Finds the rows of a text, and the style that each begins with. */
export function rowsOf(text: string, rowsMax = ROWS_MAX, charsMax = ROW_CHARS_MAX): Rows {
  const starts: number[] = [];
  const ends: number[] = [];
  const styles: Style[] = [];
  let style = PLAIN;
  let more = 0;
  let at = 0;
  // Where the next escape is; looked for once, not once a line.
  let escape = text.indexOf('\x1b');
  while (at < text.length) {
    let end = text.indexOf('\n', at);
    const next = end < 0 ? text.length : end + 1;
    if (end < 0) end = text.length;
    if (end > at && text[end - 1] === '\r') end--;
    let from = at;
    do {
      let to = Math.min(end, from + charsMax);
      // Neither an escape nor a pair of surrogates is cut in two.
      if (to < end) to = safeCut(text, from, to);
      if (starts.length >= rowsMax) {
        more++;
      } else {
        starts.push(from);
        ends.push(to);
        styles.push(style);
        if (escape >= 0 && escape < from) escape = text.indexOf('\x1b', from);
        if (escape >= 0 && escape < to) style = styleAfter(text, escape, to, style);
      }
      from = to;
    } while (from < end);
    at = next;
  }
  return { text, starts: Uint32Array.from(starts), ends: Uint32Array.from(ends), styles, more };
}

/** An escape sequence longer than this may be cut in two. */
const ESCAPE_CHARS = 32;

function safeCut(text: string, from: number, to: number): number {
  const window = Math.max(from, to - ESCAPE_CHARS);
  const tail = text.slice(window, to);
  const escape = tail.lastIndexOf('\x1b');
  if (window + escape > from && escape >= 0 && !/^\x1b\[[0-9:;<=>?]*[ -/]*[@-~]/.test(tail.slice(escape))) return window + escape;
  const code = text.charCodeAt(to - 1);
  return code >= 0xd800 && code < 0xdc00 ? to - 1 : to;
}

/** The style behind text from `at` to `to`: only what sets colours is looked at. */
function styleAfter(text: string, at: number, to: number, before: Style): Style {
  let style = before;
  for (;;) {
    const escape = text.indexOf('\x1b[', at);
    if (escape < 0 || escape >= to) return style;
    let end = escape + 2;
    while (end < to && text.charCodeAt(end) >= 0x30 && text.charCodeAt(end) <= 0x3f) end++;
    if (end < to && text[end] === 'm') style = applySgr(style, text.slice(escape + 2, end));
    at = end;
  }
}

/** The runs of row n. */
export function runsOf(rows: Rows, n: number): Run[] {
  const line = rows.text.slice(rows.starts[n], rows.ends[n]);
  let style = rows.styles[n] ?? PLAIN;
  const runs: Run[] = [];
  let at = 0;
  // Without a backspace or a carriage return in it, which nobody wants to see.
  for (const match of line.matchAll(CONTROLS)) {
    if (match.index > at) push(runs, line.slice(at, match.index), style);
    if (match[2] === 'm') style = applySgr(style, match[1] ?? '');
    at = match.index + match[0].length;
  }
  if (at < line.length) push(runs, line.slice(at), style);
  return runs;
}

function push(runs: Run[], text: string, style: Style): void {
  const last = runs.at(-1);
  if (last && last.style === style) last.text += text;
  else runs.push({ text, style });
}

/** The text of row n without any control. */
export const plainRow = (rows: Rows, n: number): string =>
  rows.text.slice(rows.starts[n], rows.ends[n]).replace(CONTROLS, '');

export const plainText = (text: string): string => text.replace(CONTROLS, '');

function applySgr(before: Style, parameters: string): Style {
  if (parameters === '' || parameters === '0') return PLAIN;
  const codes = codesOf(parameters);
  if (codes === null) return before;
  const style = { ...before };
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at]!;
    if (code === 0) Object.assign(style, PLAIN);
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 23) style.italic = false;
    else if (code === 24) style.underline = false;
    else if (code === 27) style.inverse = false;
    else if (code === 29) style.strike = false;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code === 39) style.fg = null;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code === 49) style.bg = null;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, at + 1);
      if (code === 38) style.fg = colour ?? style.fg;
      else style.bg = colour ?? style.bg;
      at += used;
    }
  }
  return style;
}

function codesOf(parameters: string): number[] | null {
  const codes = [0];
  for (let at = 0; at < parameters.length; at++) {
    const char = parameters.charCodeAt(at);
    // `<=>?` begin sequences of other meanings.
    if (char > 0x3b) return null;
    if (char === 0x3a || char === 0x3b) codes.push(0);
    else codes[codes.length - 1] = Math.min(9999, codes.at(-1)! * 10 + char - 0x30);
  }
  return codes;
}

function extended(codes: number[], at: number): [number | string | null, number] {
  const byte = (n: number) => Math.min(255, Math.max(0, codes[n] ?? 0));
  if (codes[at] === 5) return [byte(at + 1), 2];
  if (codes[at] === 2) {
    const hex = [byte(at + 1), byte(at + 2), byte(at + 3)].map((value) => value.toString(16).padStart(2, '0'));
    return [`#${hex.join('')}`, 4];
  }
  return [null, 1];
}

/** The colours 16 to 255 of the usual palette; the first 16 belong to the theme. */
export function paletteColour(index: number): string {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const step = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  const cube = index - 16;
  return `rgb(${step(Math.floor(cube / 36))} ${step(Math.floor(cube / 6) % 6)} ${step(cube % 6)})`;
}
