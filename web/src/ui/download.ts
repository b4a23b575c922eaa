// Bytes to a file on the person's machine, exactly as they are. The type says that nothing should
// open it by itself.

import { zipSync } from 'fflate';
import type { Bytes } from '../core/bytes';
import type { OutputFile } from '../core/result';
import { toTar } from '../core/tar';

const REVOKE_AFTER_MS = 60_000;

export function download(name: string, data: Bytes): void {
  const url = URL.createObjectURL(new Blob([data], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name.split('/').at(-1) || 'file';
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_AFTER_MS);
}

export function downloadZip(files: OutputFile[], name: string): void {
  // A zip made of the same files is the same.
  const mtime = new Date(1980, 0, 1);
  const entries = Object.fromEntries(
    files
      .filter(({ kind }) => kind !== 'symlink')
      .map(({ path, kind, data }) => [
        kind === 'directory' ? `${path}/` : path,
        [data, { mtime, os: 3, attrs: (kind === 'executable' ? 0o100755 : kind === 'directory' ? 0o40755 : 0o100644) << 16 }] as [Uint8Array, object],
      ]),
  );
  download(`${name}.zip`, zipSync(entries) as Bytes);
}

export const downloadTar = (files: OutputFile[], name: string): void => download(`${name}.tar`, toTar(files, 0));
