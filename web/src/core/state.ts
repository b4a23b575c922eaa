// What a link carries: all that is needed to show a run again and to run it again. The form is
// that of protocol.md 8.11. What comes from a link comes from a stranger, so all of it is checked.

import { deflateSync, inflateSync } from 'fflate';
import { fromBase64, fromBase64Url, fromUtf8, looksLikeText, toBase64, toBase64Url, toUtf8, type Bytes } from './bytes';
import type { FileContent } from './catalogue';
import type { InputFile, Limits } from './job';
import { badPath } from './path';

export interface State {
  image: string;
  files: InputFile[];
  /** Folders with nothing in them: a program may look for them. */
  directories: string[];
  stdin: Bytes;
  values: Record<string, string>;
  /** Written by hand; null: the form's. */
  command: string[] | null;
  outputs: string[];
  limits: Limits;
  /** The result that was on the page. */
  job: string | null;
}

/** A share is at most this long as JSON. */
export const SHARE_BYTES_MAX = 262_144;
const STATE_BYTES_MAX = 24 * 1024 * 1024;

export class BadState extends Error {}

export function toJson(state: State): string {
  const files: Record<string, FileContent> = {};
  for (const { path, data, executable } of state.files) files[path] = contentOf(data, executable);
  for (const path of state.directories) files[path] ??= { directory: true };
  return JSON.stringify({
    v: 1,
    image: state.image,
    files,
    stdin: contentOf(state.stdin, false),
    values: state.values,
    command: state.command,
    outputs: state.outputs,
    limits: state.limits,
    job: state.job,
  });
}

function contentOf(data: Bytes, executable: boolean): FileContent & (string | object) {
  const text = looksLikeText(data) ? fromUtf8(data) : null;
  if (text !== null && !executable) return text;
  const mode = executable ? { executable } : {};
  return text !== null ? { text, ...mode } : { base64: toBase64(data), ...mode };
}

export function bytesOf(content: unknown, where: string): { data: Bytes; executable: boolean } {
  if (typeof content === 'string') return { data: toUtf8(content), executable: false };
  if (!isRecord(content)) throw new BadState(`${where} is neither text nor bytes`);
  const executable = content['executable'] === true;
  if (typeof content['text'] === 'string') return { data: toUtf8(content['text']), executable };
  const data = typeof content['base64'] === 'string' ? fromBase64(content['base64']) : null;
  if (data === null) throw new BadState(`${where} is neither text nor bytes`);
  return { data, executable };
}

export function fromJson(json: string): State {
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch {
    throw new BadState('the link is damaged');
  }
  if (!isRecord(raw)) throw new BadState('the link is damaged');
  if (raw['v'] !== 1) throw new BadState('the link was made by another version of this page');
  if (typeof raw['image'] !== 'string') throw new BadState('the link names no image');
  const files: InputFile[] = [];
  const directories: string[] = [];
  for (const [path, content] of Object.entries(record(raw['files'], 'files'))) {
    const why = badPath(path);
    if (why) throw new BadState(`a file of the link has a bad name: ${why}`);
    if (isRecord(content) && content['directory'] === true) directories.push(path);
    else files.push({ path, ...bytesOf(content, path) });
  }
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(record(raw['values'], 'values'))) {
    if (typeof value !== 'string') throw new BadState('a value of the link is no text');
    values[name] = value;
  }
  const limits: Limits = {};
  const given = record(raw['limits'], 'limits');
  for (const name of ['wall_ms', 'output_bytes', 'stdout_bytes', 'stderr_bytes'] as const) {
    const value = given[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) limits[name] = value;
  }
  const job = raw['job'];
  return {
    image: raw['image'],
    files,
    directories,
    stdin: bytesOf(raw['stdin'] ?? '', 'standard input').data,
    values,
    command: raw['command'] === null || raw['command'] === undefined ? null : words(raw['command']),
    outputs: words(raw['outputs'] ?? []),
    limits,
    job: typeof job === 'string' && /^[0-9a-f]{64}$/.test(job) ? job : null,
  };
}

export const toHash = (json: string): string => `#s=${toBase64Url(deflateSync(toUtf8(json), { level: 9 }) as Bytes)}`;

/** The JSON in a `#s=` hash. Bounded: a small link must not become a large page. */
export function jsonOfHash(hash: string): string {
  const packed = fromBase64Url(hash.replace(/^#s=/, ''));
  if (packed === null) throw new BadState('the link is damaged');
  let bytes: Uint8Array;
  try {
    bytes = inflateSync(packed, { out: new Uint8Array(Math.min(STATE_BYTES_MAX, packed.length * 1032 + 64)) });
  } catch {
    throw new BadState('the link is damaged');
  }
  const json = fromUtf8(bytes);
  if (json === null) throw new BadState('the link is damaged');
  return json;
}

function words(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > 4096 || !value.every((word) => typeof word === 'string')) {
    throw new BadState('the command of the link is no list of words');
  }
  return value as string[];
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw new BadState(`${what} of the link is no object`);
  return value;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
