// Result files as one tar (ustar, with pax headers for names that are too long), in the order of
// the archive. Zip is written by fflate; tar is what keeps links and modes.

import { join, toUtf8, type Bytes } from './bytes';
import type { OutputFile } from './result';

const BLOCK = 512;

export function toTar(files: OutputFile[], mtimeSeconds: number): Bytes {
  const parts: Bytes[] = [];
  for (const { path, kind, data } of files) {
    const target = kind === 'symlink' ? data : new Uint8Array(0);
    const body = kind === 'file' || kind === 'executable' ? data : new Uint8Array(0);
    const name = toUtf8(kind === 'directory' ? `${path}/` : path);
    if (name.length > 100 || target.length > 100) {
      const pax = join([paxRecord('path', name), ...(target.length > 0 ? [paxRecord('linkpath', target)] : [])]);
      parts.push(header(toUtf8('pax'), 'x', 0o644, pax.length, new Uint8Array(0), mtimeSeconds), pax, padding(pax.length));
    }
    const type = { file: '0', executable: '0', directory: '5', symlink: '2' }[kind];
    const mode = kind === 'file' ? 0o644 : 0o755;
    parts.push(header(name, type, mode, body.length, target, mtimeSeconds), body, padding(body.length));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return join(parts);
}

function header(name: Bytes, type: string, mode: number, bytes: number, target: Bytes, mtime: number): Bytes {
  const block = new Uint8Array(BLOCK);
  const octal = (value: number, digits: number) => toUtf8(value.toString(8).padStart(digits, '0'));
  block.set(name.subarray(0, 100), 0);
  block.set(octal(mode, 7), 100);
  block.set(octal(0, 7), 108);
  block.set(octal(0, 7), 116);
  block.set(octal(bytes, 11), 124);
  block.set(octal(mtime, 11), 136);
  block.fill(0x20, 148, 156);
  block.set(toUtf8(type), 156);
  block.set(target.subarray(0, 100), 157);
  block.set(toUtf8('ustar\x0000'), 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(toUtf8(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  return block;
}

const padding = (bytes: number): Bytes => new Uint8Array((BLOCK - (bytes % BLOCK)) % BLOCK);

function paxRecord(key: string, value: Bytes): Bytes {
  const rest = join([toUtf8(` ${key}=`), value, toUtf8('\n')]);
  // The length counts its own digits.
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return join([toUtf8(String(length)), rest]);
}
