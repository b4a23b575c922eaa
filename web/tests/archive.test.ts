import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BadArchive, decodeArchive, encodeArchive, type Entry, type Role } from '../src/core/archive';
import { join, toUtf8, type Bytes } from '../src/core/bytes';

function vector(name: string): Bytes {
  const text = readFileSync(new URL(`../../crates/proto/vectors/archive-v1-${name}.hex`, import.meta.url), 'utf8');
  const digits = text.replace(/#.*/g, '').replace(/\s/g, '');
  return Uint8Array.from(digits.match(/../g)!, (pair) => Number.parseInt(pair, 16));
}

for (const [name, role] of [['empty', 'job'], ['job', 'job'], ['result', 'result']] as [string, Role][]) {
  test(`the golden archive ${name} is read and written again`, () => {
    const bytes = vector(name);
    const entries = decodeArchive(bytes, role);
    expect(encodeArchive([...entries].reverse(), role)).toEqual(bytes);
  });
  test(`the golden archive ${name} is refused wherever it is cut`, () => {
    const bytes = vector(name);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeArchive(bytes.subarray(0, length), role)).toThrow(/cut off/);
    }
  });
}

// Written without the encoder, which refuses these itself.
function raw(entries: { kind?: number; path: string | Bytes; data?: string; length?: number }[], count = entries.length): Bytes {
  const parts: Bytes[] = [toUtf8('PEARCH\0\x01')];
  for (const { kind = 0, path, data = '', length } of entries) {
    const name = typeof path === 'string' ? toUtf8(path) : path;
    const head = new Uint8Array(7);
    const view = new DataView(head.buffer);
    view.setUint8(0, kind);
    view.setUint16(1, name.length, true);
    view.setUint32(3, length ?? data.length, true);
    parts.push(head, name, toUtf8(data));
  }
  const end = new Uint8Array(5);
  end[0] = 255;
  new DataView(end.buffer).setUint32(1, count, true);
  return join([...parts, end]);
}

const refuses = (name: string, bytes: Bytes, why: RegExp, role: Role = 'result') =>
  test(`refused: ${name}`, () => {
    expect(() => decodeArchive(bytes, role)).toThrow(BadArchive);
    expect(() => decodeArchive(bytes, role)).toThrow(why);
  });

refuses('a way up', raw([{ path: 'output/../x' }]), /`\.` or `\.\.`/);
refuses('an absolute path', raw([{ path: '/etc/x' }]), /absolute/);
refuses('an empty name', raw([{ path: 'output/a//b' }]), /empty name/);
refuses('a slash at the end', raw([{ path: 'output/a/' }]), /empty name/);
refuses('a NUL byte', raw([{ path: 'output/a\0b' }]), /NUL/);
refuses('an empty path', raw([{ path: '' }]), /path is empty/);
refuses('a name of 4 KB', raw([{ path: `output/${'n'.repeat(4000)}` }]), /name in the path is longer/);
refuses('a path that is too long', raw([{ path: `output/${'n/'.repeat(2100)}n` }]), /path is longer/);
refuses('a path that is too deep', raw([{ path: `output/${'n/'.repeat(64)}n` }]), /deeper/);
refuses('a path that is not UTF-8', raw([{ path: join([toUtf8('output/'), Uint8Array.of(0xff)]) }]), /not UTF-8/);
refuses('a path that is there twice', raw([{ path: 'output/a' }, { path: 'output/a' }]), /out of order or there twice/);
refuses('entries out of order', raw([{ path: 'output/b' }, { path: 'output/a' }]), /out of order/);
refuses('the wrong order of slash and dash', raw([{ path: 'output/a-b' }, { path: 'output/a/b' }]), /out of order/);
refuses('an entry below a file', raw([{ path: 'output/a' }, { path: 'output/a/b' }]), /lies below/);
refuses('a link in a job', raw([{ kind: 3, path: 'input/a', data: 'b' }]), /no place/, 'job');
refuses('output in a job', raw([{ path: 'output/a' }]), /no place/, 'job');
refuses('an executable stdout', raw([{ kind: 1, path: 'stdout' }]), /no place/);
refuses('a directory with data', raw([{ kind: 2, path: 'output/a', data: 'x' }]), /has data/);
refuses('an unknown kind', raw([{ kind: 4, path: 'output/a' }]), /unknown entry kind 4/);
refuses('another count', raw([{ path: 'output/a' }], 2), /ends after 1 entries but states 2/);
refuses('bytes after the end', join([raw([]), Uint8Array.of(0)]), /after the end/);
refuses('another version', toUtf8('PEARCH\0\x02'), /known version/);
refuses('a length of 4 GiB', raw([{ path: 'output/a', length: 0xffffffff }]), /larger than 29360128/);
refuses('more than a job may have', raw([{ path: 'input/a', length: 16_777_216 }]), /larger than 16777216/, 'job');

test('names that other systems dislike mean their bytes', () => {
  const paths = ['output/CON', 'output/a\\b', 'output/A', 'output/a', 'output/line\nfeed', 'output/größe'];
  const entries: Entry[] = paths.map((path) => ({ kind: 'file', path, data: new Uint8Array(1) }));
  const read = decodeArchive(encodeArchive(entries, 'result'), 'result').map((entry) => entry.path);
  expect(new Set(read)).toEqual(new Set(paths));
});

test('ten thousand entries are the most', () => {
  const entries = (count: number): Entry[] =>
    Array.from({ length: count }, (_, n) => ({ kind: 'file', path: `output/${n}`, data: new Uint8Array(0) }));
  expect(decodeArchive(encodeArchive(entries(10_000), 'result'), 'result').length).toBe(10_000);
  expect(() => encodeArchive(entries(10_001), 'result')).toThrow(/more than 10000/);
});
