// The archive (protocol.md 2): written here for jobs, read here from results. What the load
// balancer refuses is refused here too, in the same words: results come from strangers' programs.

import { fromUtf8, join, toUtf8, type Bytes } from './bytes';
import { badPath, comparePaths, isBelow, PATH_BYTES_MAX } from './path';

export type Kind = 'file' | 'executable' | 'directory' | 'symlink';
export type Role = 'job' | 'result';

export interface Entry {
  kind: Kind;
  /** With the prefix of its role. */
  path: string;
  data: Bytes;
}

const KINDS: Kind[] = ['file', 'executable', 'directory', 'symlink'];
const MAGIC = toUtf8('PEARCH\0\x01');
const HEAD_BYTES = 7;
const END = 0xff;

export const INPUT_BYTES_MAX = 16_777_216;
export const RESULT_BYTES_MAX = 29_360_128;
export const ENTRIES_MAX = 10_000;

export class BadArchive extends Error {}

/** The archive of entries in any order. Throws if there is no archive of them. */
export function encodeArchive(entries: Entry[], role: Role = 'job'): Bytes {
  const sorted = [...entries].sort((a, b) => comparePaths(a.path, b.path));
  const rules = new Rules(role);
  const parts: Bytes[] = [MAGIC];
  let bytes = MAGIC.length + 5;
  for (const { kind, path, data } of sorted) {
    const name = toUtf8(path);
    rules.accept(kind, path, data.length);
    const head = new Uint8Array(HEAD_BYTES);
    const view = new DataView(head.buffer);
    view.setUint8(0, KINDS.indexOf(kind));
    view.setUint16(1, name.length, true);
    view.setUint32(3, data.length, true);
    parts.push(head, name, data);
    bytes += HEAD_BYTES + name.length + data.length;
  }
  if (bytes > rules.bytesMax) throw new BadArchive(`archive is larger than ${rules.bytesMax} bytes`);
  const end = new Uint8Array(5);
  end[0] = END;
  new DataView(end.buffer).setUint32(1, sorted.length, true);
  parts.push(end);
  return join(parts);
}

/** The entries of an archive; data are views of the given bytes. Throws at the first wrong byte. */
export function decodeArchive(bytes: Bytes, role: Role, bytesMax?: number): Entry[] {
  const rules = new Rules(role, bytesMax);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cutOff = () => new BadArchive('archive is cut off');
  for (let at = 0; at < MAGIC.length; at++) {
    if (at >= bytes.length) throw cutOff();
    if (bytes[at] !== MAGIC[at]) throw new BadArchive('not an archive of a known version');
  }
  const entries: Entry[] = [];
  let at = MAGIC.length;
  for (;;) {
    const left = bytes.length - at;
    if (left < 1) throw cutOff();
    const byte = view.getUint8(at);
    if (byte === END) {
      if (left < 5) throw cutOff();
      const stated = view.getUint32(at + 1, true);
      if (stated !== entries.length) {
        throw new BadArchive(`archive ends after ${entries.length} entries but states ${stated}`);
      }
      if (left > 5) throw new BadArchive('bytes after the end of the archive');
      if (bytes.length > rules.bytesMax) throw new BadArchive(`archive is larger than ${rules.bytesMax} bytes`);
      return entries;
    }
    const kind = KINDS[byte];
    if (kind === undefined) throw new BadArchive(`unknown entry kind ${byte}`);
    if (left < HEAD_BYTES) throw cutOff();
    const pathLength = view.getUint16(at + 1, true);
    const length = view.getUint32(at + 3, true);
    if (pathLength > PATH_BYTES_MAX) throw refusedPath(`path is longer than ${PATH_BYTES_MAX} bytes`);
    // Doubles hold these sums exactly; nothing can overflow.
    if (at + HEAD_BYTES + pathLength + length > rules.bytesMax) {
      throw new BadArchive(`archive is larger than ${rules.bytesMax} bytes`);
    }
    if (left < HEAD_BYTES + pathLength) throw cutOff();
    const path = fromUtf8(bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + pathLength));
    if (path === null) throw refusedPath('path is not UTF-8');
    rules.accept(kind, path, length);
    if (left < HEAD_BYTES + pathLength + length) throw cutOff();
    at += HEAD_BYTES + pathLength;
    entries.push({ kind, path, data: bytes.subarray(at, at + length) });
    at += length;
  }
}

const refusedPath = (why: string) => new BadArchive(`bad path in archive: ${why}`);

/** What each entry must keep to, given those before it. */
class Rules {
  readonly bytesMax: number;
  private last: string | null = null;
  private entries = 0;

  constructor(private readonly role: Role, bytesMax?: number) {
    this.bytesMax = bytesMax ?? (role === 'job' ? INPUT_BYTES_MAX : RESULT_BYTES_MAX);
  }

  accept(kind: Kind, path: string, length: number): void {
    const why = badPath(path);
    if (why) throw refusedPath(why);
    if (this.last !== null && comparePaths(this.last, path) >= 0) {
      throw new BadArchive(`entry \`${path}\` is out of order or there twice`);
    }
    if (this.last !== null && isBelow(path, this.last)) {
      throw new BadArchive(`entry \`${path}\` lies below an entry that has nothing below it`);
    }
    if (!admits(this.role, kind, path)) throw new BadArchive(`entry \`${path}\` has no place here`);
    if (kind === 'directory' && length !== 0) throw new BadArchive(`directory \`${path}\` has data`);
    if (this.entries >= ENTRIES_MAX) throw new BadArchive(`archive has more than ${ENTRIES_MAX} entries`);
    this.entries++;
    this.last = path;
  }
}

function admits(role: Role, kind: Kind, path: string): boolean {
  if (role === 'job') {
    return kind !== 'symlink' && (path.startsWith('input/') || (path === 'stdin' && kind === 'file'));
  }
  return path.startsWith('output/') || ((path === 'stdout' || path === 'stderr') && kind === 'file');
}
