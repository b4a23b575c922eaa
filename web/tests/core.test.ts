import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { plainRow, rowsOf, runsOf } from '../src/core/ansi';
import { fromBase64, fromBase64Url, looksLikeText, sizeInWords, timeInWords, toBase64, toBase64Url, toUtf8 } from '../src/core/bytes';
import { diffLines, firstDifference } from '../src/core/diff';
import { hexRow, wasmSections } from '../src/core/hex';
import { fromFailure, fromResponse, placeOf } from '../src/core/problem';
import { fromJson, jsonOfHash, toHash, toJson, type State } from '../src/core/state';
import { parseTable } from '../src/core/table';
import { toTar } from '../src/core/tar';
import { typeMatches, viewerOf } from '../src/core/types';
import { joinWords, shellLike, splitWords } from '../src/core/words';

describe('the command line', () => {
  test('splits at white space and keeps what is quoted', () => {
    expect(splitWords(`gcc  -DX='a b' "c\\"d" '' e\\ f`).words).toEqual(['gcc', '-DX=a b', 'c"d', '', 'e f']);
    expect(splitWords('a "b').open).toBe('"');
    expect(splitWords('echo $HOME | cat *.c > x').words).toEqual(['echo', '$HOME', '|', 'cat', '*.c', '>', 'x']);
  });
  test('what is joined splits into the same words', () => {
    const words = ['sh', '-c', "echo 'hi' \"$x\" \\", '', 'ä b', '--a=b', '\n\t'];
    expect(splitWords(joinWords(words)).words).toEqual(words);
  });
  test('says what only a shell would have understood', () => {
    expect(shellLike(['echo', 'a', '>', 'b'])).toBe('>');
    expect(shellLike(['cat', 'x', '2>/dev/null'])).toBe('2>/dev/null');
    expect(shellLike(['echo', '$HOME'])).toBe('$HOME');
    expect(shellLike(['sh', '-c', 'a | b'])).toBeNull();
    expect(shellLike(['python3', '-c', 'print(1 > 2)'])).toBeNull();
  });
});

describe('state', () => {
  const state: State = {
    image: 'gcc:12',
    files: [
      { path: 'main.c', data: toUtf8('int main(){}\n'), executable: false },
      { path: 'run.sh', data: toUtf8('#!/bin/sh\n'), executable: true },
      { path: 'data.bin', data: Uint8Array.of(0, 255, 1), executable: false },
    ],
    directories: ['empty'],
    stdin: toUtf8('größe'),
    values: { optimise: '2' },
    command: ['gcc', 'main.c'],
    outputs: ['*.o'],
    limits: { wall_ms: 5000 },
    job: 'a'.repeat(64),
  };
  test('comes back from JSON and from a link', () => {
    expect(fromJson(toJson(state))).toEqual(state);
    expect(fromJson(jsonOfHash(toHash(toJson(state))))).toEqual(state);
  });
  test('of the golden vector is read, and of each broken one nothing is', () => {
    const vector = readFileSync(new URL('../../crates/proto/vectors/page_state_json-v1-full.json', import.meta.url), 'utf8');
    const read = fromJson(vector);
    const raw = JSON.parse(vector);
    expect(read.directories).toEqual(['empty']);
    expect([read.image, read.job, read.command]).toEqual([raw.image, raw.job, raw.command]);
    for (const field of ['files', 'values', 'command', 'outputs', 'limits']) {
      expect(() => fromJson(JSON.stringify({ ...raw, [field]: 'x' })), field).toThrow();
    }
  });
  test('of a stranger is refused, not guessed', () => {
    expect(() => fromJson('{"v":2,"image":"a"}')).toThrow(/another version/);
    expect(() => fromJson('[]')).toThrow(/damaged/);
    expect(() => fromJson('{"v":1,"image":"a","files":{"../x":""}}')).toThrow(/bad name/);
    expect(() => fromJson('{"v":1,"image":"a","files":{"x":{"base64":"?"}}}')).toThrow(/neither/);
    expect(() => fromJson('{"v":1,"image":"a","command":"ls"}')).toThrow(/list of words/);
    expect(() => jsonOfHash('#s=!!')).toThrow(/damaged/);
    expect(() => jsonOfHash('#s=AAAA')).toThrow(/damaged/);
  });
  test('a link that unpacks without end is refused', () => {
    const bomb = toHash('x'.repeat(30 * 1024 * 1024));
    expect(() => fromJson(jsonOfHash(bomb))).toThrow();
  });
});

describe('terminal output', () => {
  test('keeps colours and drops every other control', () => {
    const rows = rowsOf('\x1b[1;31mred\x1b[0m plain\x1b]8;;http://x\x07link\x1b]8;;\x07\x1b[2J\x07\r\nnext\n');
    expect(rows.starts.length).toBe(2);
    const runs = runsOf(rows, 0);
    expect(runs.map((run) => run.text).join('')).toBe('red plainlink');
    expect(runs[0]!.style).toMatchObject({ fg: 1, bold: true });
    expect(runs[1]!.style).toMatchObject({ fg: null, bold: false });
    expect(plainRow(rows, 1)).toBe('next');
  });
  test('a style lasts over lines, also 256 and true colours', () => {
    const rows = rowsOf('\x1b[38;5;200ma\nb\x1b[48;2;1;2;3mc\nd');
    expect(runsOf(rows, 1)[0]!.style.fg).toBe(200);
    expect(runsOf(rows, 2)[0]!.style).toMatchObject({ fg: 200, bg: '#010203' });
  });
  test('an endless line becomes rows, and rows have an end', () => {
    const rows = rowsOf('x'.repeat(5000));
    expect(rows.starts.length).toBe(5);
    expect(rowsOf('\n'.repeat(100), 10).more).toBe(90);
    const pairs = rowsOf('😀'.repeat(3000), 10, 101);
    expect(plainRow(pairs, 0)).toBe('😀'.repeat(50));
  });
  test('an escape is not cut in two', () => {
    const rows = rowsOf(`${'x'.repeat(98)}\x1b[31mred`, 10, 100);
    expect(plainRow(rows, 0)).toBe('x'.repeat(98));
    expect(runsOf(rows, 1)).toEqual([{ text: 'red', style: expect.objectContaining({ fg: 1 }) }]);
  });
  test('a hundred thousand lines and one long line take little time', () => {
    for (const text of ['a line of text\n'.repeat(100_000), 'x'.repeat(4_000_000)]) {
      const start = performance.now();
      rowsOf(text);
      expect(performance.now() - start).toBeLessThan(700);
    }
  });
  test('escapes that never end do no harm', () => {
    const text = '\x1b['.repeat(100_000) + '\x1b]'.repeat(100_000);
    const start = performance.now();
    const rows = rowsOf(text);
    for (let n = 0; n < Math.min(rows.starts.length, 100); n++) runsOf(rows, n);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe('diff', () => {
  const marks = (a: string, b: string) => diffLines(a, b).map(({ kind, line }) => `${{ same: ' ', removed: '-', added: '+' }[kind]}${line}`);
  test('finds the shortest edit', () => {
    expect(marks('a\nb\nc\n', 'a\nc\nd\n')).toEqual([' a', '-b', ' c', '+d']);
    expect(marks('', 'x')).toEqual(['+x']);
    expect(marks('x', '')).toEqual(['-x']);
    expect(marks('same\n', 'same\n')).toEqual([' same']);
  });
  test('applied to the first text it gives the second, whatever they are', () => {
    let seed = 7;
    const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    for (let round = 0; round < 200; round++) {
      const text = () => Array.from({ length: random(12) }, () => 'abc'[random(3)]).join('\n');
      const [a, b] = [text(), text()];
      const changes = diffLines(a, b);
      const lines = (kinds: string[]) => changes.filter((change) => kinds.includes(change.kind)).map((change) => change.line);
      const of = (value: string) => (value === '' ? [] : value.split('\n'));
      expect(lines(['same', 'removed'])).toEqual(of(a));
      expect(lines(['same', 'added'])).toEqual(of(b));
    }
  });
  test('of two long texts that share nothing ends soon', () => {
    const text = (word: string) => Array.from({ length: 20_000 }, (_, n) => `${word}${n}`).join('\n');
    const start = performance.now();
    expect(diffLines(text('a'), text('b')).length).toBe(40_000);
    expect(performance.now() - start).toBeLessThan(5000);
  });
  test('names the first line that differs', () => {
    expect(firstDifference('a\nb', 'a\nc')).toEqual({ line: 2, a: 'b', b: 'c' });
    expect(firstDifference('a', 'a\nb')).toEqual({ line: 2, a: null, b: 'b' });
    expect(firstDifference('a', 'a')).toBeNull();
  });
});

describe('problems', () => {
  test('say what happened, what to do, and when to try again', () => {
    const problem = fromResponse(429, '7', { type: 'urn:pe:problem:too-many-requests', title: 'Too many', detail: 'x', retry: true });
    expect(problem).toMatchObject({ title: 'Too many', retryAfter: 7 });
    expect(problem.next).toMatch(/by itself/);
    expect(fromResponse(400, null, { type: 'urn:pe:problem:bad-request', retry: false }).retryAfter).toBeNull();
    expect(fromResponse(502, null, '<html>').retryAfter).toBe(3);
    expect(fromFailure(new TypeError('Failed to fetch')).title).toMatch(/cannot be reached/);
    expect(placeOf('/limits/wall_ms')).toBe('the limits');
  });
});

describe('files', () => {
  test('the viewer is chosen by name, and bytes that lie get a plain one', () => {
    expect(viewerOf('a.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47), false)).toBe('image');
    expect(viewerOf('a.png', toUtf8('<script>'), true)).toBe('text');
    expect(viewerOf('a.html', toUtf8('x'), true)).toBe('html');
    expect(viewerOf('a.stl', toUtf8('solid'), true)).toBe('model');
    expect(viewerOf('a.out', Uint8Array.of(0), false)).toBe('binary');
    expect(typeMatches('text/*', 'text/x-c')).toBe(true);
    expect(typeMatches('image/*', 'text/x-c')).toBe(false);
  });
  test('tables', () => {
    expect(parseTable('a,"b ""c"",\nd",e\r\n1,,2\n', ',', 10).rows).toEqual([['a', 'b "c",\nd', 'e'], ['1', '', '2']]);
    expect(parseTable('a\nb\nc\n', ',', 2)).toEqual({ rows: [['a'], ['b']], more: true });
  });
  test('hex and wasm', () => {
    expect(hexRow(toUtf8('hi\n'), 0)).toMatch(/^00000000 {2}68 69 0a .*hi·$/);
    expect(wasmSections(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 2, 9, 9))).toEqual([{ name: 'type', bytes: 2 }]);
    expect(wasmSections(toUtf8('nothing'))).toBeNull();
  });
  test('a tar has a name, a size and a sum', () => {
    const tar = toTar([{ path: 'a.txt', kind: 'file', data: toUtf8('hi') }, { path: 'n'.repeat(150), kind: 'symlink', data: toUtf8('a.txt') }], 0);
    expect(tar.length % 512).toBe(0);
    expect(new TextDecoder().decode(tar.subarray(0, 5))).toBe('a.txt');
    expect(new TextDecoder().decode(tar).includes(`path=${'n'.repeat(150)}`)).toBe(true);
  });
});

test('base64 in both spellings', () => {
  for (let length = 0; length < 70; length++) {
    const bytes = Uint8Array.from({ length }, (_, n) => (n * 37) % 256);
    expect(fromBase64(toBase64(bytes))).toEqual(bytes);
    expect(fromBase64Url(toBase64Url(bytes))).toEqual(bytes);
  }
  expect(fromBase64('a===')).toBeNull();
  expect(looksLikeText(Uint8Array.of(0xff))).toBe(false);
  expect(sizeInWords(1234)).toBe('1.2 kB');
  expect(timeInWords(1_500_000)).toBe('1.50 s');
});
