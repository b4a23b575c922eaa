// What a path in an archive may be, and the one order they come in (protocol.md 2.2).

import { toUtf8 } from './bytes';

export const PATH_BYTES_MAX = 4095;
export const NAME_BYTES_MAX = 255;
export const PATH_DEPTH_MAX = 64;

/** Why a path is refused, or null if it may be. */
export function badPath(path: string): string | null {
  if (path === '') return 'path is empty';
  if (toUtf8(path).length > PATH_BYTES_MAX) return `path is longer than ${PATH_BYTES_MAX} bytes`;
  if (path.startsWith('/')) return 'path is absolute';
  if (path.includes('\0')) return 'path has a NUL byte';
  if (!path.isWellFormed()) return 'path is not UTF-8';
  const names = path.split('/');
  if (names.length > PATH_DEPTH_MAX) return `path is deeper than ${PATH_DEPTH_MAX} names`;
  for (const name of names) {
    if (name === '') return 'path has an empty name';
    if (name === '.' || name === '..') return 'path has a `.` or `..` name';
    if (toUtf8(name).length > NAME_BYTES_MAX) return `a name in the path is longer than ${NAME_BYTES_MAX} bytes`;
  }
  return null;
}

/** Name by name, each by its bytes: as if the slash were the smallest byte. */
export function comparePaths(a: string, b: string): number {
  const left = toUtf8(a);
  const right = toUtf8(b);
  const most = Math.min(left.length, right.length);
  for (let at = 0; at < most; at++) {
    const x = left[at] === 0x2f ? 0 : left[at]!;
    const y = right[at] === 0x2f ? 0 : right[at]!;
    if (x !== y) return x - y;
  }
  return left.length - right.length;
}

export const isBelow = (path: string, directory: string): boolean => path.startsWith(`${directory}/`);
