// A run as the page knows it: config and archive, and the digest that names both (protocol.md 3).

import { canonical, effectiveConfig } from '../../digest/digest.js';
import { encodeArchive, type Entry } from './archive';
import { join, toHex, toUtf8, type Bytes } from './bytes';
import type { Catalogue } from './catalogue';

export interface Limits {
  wall_ms?: number | null;
  output_bytes?: number | null;
  stdout_bytes?: number | null;
  stderr_bytes?: number | null;
}

/** The JSON of the binary form (protocol.md 8.3). */
export interface RunConfig {
  image: string;
  entrypoint?: string[] | null;
  args?: string[] | null;
  env?: Record<string, string>;
  cwd?: string | null;
  outputs?: string[];
  limits?: Limits;
  requires?: { arch?: string };
  cache?: 'use' | 'refresh' | 'off';
}

export interface EffectiveConfig {
  image: string;
  arch: string;
  args: string[];
  env: string[];
  cwd: string;
  user: string;
  outputs: string[];
  limits: Required<Record<keyof Limits, number>>;
}

export interface InputFile {
  path: string;
  data: Bytes;
  executable: boolean;
}

export interface Job {
  config: RunConfig;
  archive: Bytes;
  digest: string;
}

/** Folders are listed only while nothing is in them. */
export function archiveOf(files: InputFile[], stdin: Bytes, directories: string[] = []): Bytes {
  const entries: Entry[] = files.map(({ path, data, executable }) => ({
    path: `input/${path}`,
    kind: executable ? 'executable' : 'file',
    data,
  }));
  for (const path of directories) {
    if (files.some((file) => file.path === path || file.path.startsWith(`${path}/`))) continue;
    entries.push({ path: `input/${path}`, kind: 'directory', data: new Uint8Array(0) });
  }
  if (stdin.length > 0) entries.push({ path: 'stdin', kind: 'file', data: stdin });
  return encodeArchive(entries, 'job');
}

export async function digestOf(config: RunConfig, archive: Bytes, catalogue: Catalogue): Promise<string> {
  const encoded = canonical(effectiveConfig(config, catalogue));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, encoded.length, true);
  const hashed = join([toUtf8('PEJOB\0\0\x01'), length, encoded, archive]);
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', hashed)));
}

/** A request's body in the binary form. */
export function encodeRequest(config: RunConfig, archive: Bytes): Bytes {
  const json = toUtf8(JSON.stringify(config));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, json.length, true);
  return join([length, json, archive]);
}
