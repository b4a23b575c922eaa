// A result as the page shows it, read from the binary form of an answer (protocol.md 8.2, 8.3).

import { BadArchive, decodeArchive, type Kind } from './archive';
import { fromUtf8, type Bytes } from './bytes';

export interface Outcome {
  kind: string;
  code?: number;
  signal?: number;
  clock?: string;
  fault?: string;
  reason?: string;
}

export interface Answer {
  job: string;
  request_id: string;
  cache: string;
  outcome: Outcome;
  truncated: string[];
  notes: string[];
  usage: { wall_us: number; user_us: number; system_us: number; max_rss_bytes: number; oom_kills?: number };
  phases: Record<string, number>;
  limits: Record<string, number>;
  image: string;
  ran_on: { arch: string; kernel: string; cpu: string; worker: string; vmm?: string } | null;
}

export interface OutputFile {
  path: string;
  kind: Kind;
  data: Bytes;
}

export interface Result {
  answer: Answer;
  stdout: Bytes;
  stderr: Bytes;
  files: OutputFile[];
  /** Whether it was there before anything was sent. */
  wasKnown: boolean;
  /** From the click to the last byte. */
  tookMs: number;
}

export class BadAnswer extends Error {}

const JSON_BYTES_MAX = 262_144;

export function decodeAnswer(bytes: Bytes): Pick<Result, 'answer' | 'stdout' | 'stderr' | 'files'> {
  if (bytes.length < 4) throw new BadAnswer('the answer is cut off');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (length > JSON_BYTES_MAX || 4 + length > bytes.length) throw new BadAnswer('the answer is cut off');
  const text = fromUtf8(bytes.subarray(4, 4 + length));
  let answer: Answer;
  try {
    answer = JSON.parse(text ?? '') as Answer;
  } catch {
    throw new BadAnswer('the answer is not what this page understands');
  }
  if (typeof answer?.outcome?.kind !== 'string') throw new BadAnswer('the answer is not what this page understands');
  let entries;
  try {
    entries = decodeArchive(bytes.subarray(4 + length), 'result');
  } catch (error) {
    if (error instanceof BadArchive) throw new BadAnswer(`the answer's files were refused: ${error.message}`);
    throw error;
  }
  const empty = new Uint8Array(0);
  const stream = (name: string) => entries.find((entry) => entry.path === name)?.data ?? empty;
  return {
    answer,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    files: entries
      .filter((entry) => entry.path.startsWith('output/'))
      .map(({ path, kind, data }) => ({ path: path.slice('output/'.length), kind, data })),
  };
}

export type Tone = 'good' | 'bad' | 'warn';

const SIGNALS: Record<number, string> = {
  1: 'SIGHUP', 2: 'SIGINT', 3: 'SIGQUIT', 4: 'SIGILL, an illegal instruction', 5: 'SIGTRAP', 6: 'SIGABRT, it aborted',
  7: 'SIGBUS, a bad memory access', 8: 'SIGFPE, an arithmetic error such as a division by zero', 9: 'SIGKILL',
  10: 'SIGUSR1', 11: 'SIGSEGV, a bad memory access', 12: 'SIGUSR2', 13: 'SIGPIPE', 14: 'SIGALRM', 15: 'SIGTERM',
  24: 'SIGXCPU', 25: 'SIGXFSZ, a file grew too large', 31: 'SIGSYS, a forbidden system call',
};

/** An outcome as a sentence, and how good it is. */
export function outcomeInWords({ answer }: Pick<Result, 'answer'>): { tone: Tone; title: string; next: string } {
  const { outcome, limits } = answer;
  const seconds = (limits.wall_ms ?? 0) / 1000;
  switch (outcome.kind) {
    case 'exited': {
      if (outcome.code === 0) return { tone: 'good', title: 'Finished', next: '' };
      // A shell says by 128 and the signal that what it ran was killed.
      const signal = outcome.code! > 128 ? SIGNALS[outcome.code! - 128] : undefined;
      const next =
        outcome.code === 127 ? 'A shell gives 127 when it does not find a program.'
        : outcome.code === 126 ? 'A shell gives 126 when it may not execute a file.'
        : signal ? `A shell gives ${outcome.code} when a program was ended by ${signal}.`
        : '';
      return { tone: 'bad', title: `Exited with status ${outcome.code}`, next };
    }
    case 'signaled':
      return { tone: 'bad', title: `Ended by signal ${outcome.signal}`, next: SIGNALS[outcome.signal!] ?? '' };
    case 'timed_out':
      return {
        tone: 'warn',
        title: `Stopped after ${seconds} s`,
        next: 'It used up its time. What it wrote until then is below; a longer limit can be set under Limits.',
      };
    case 'out_of_memory':
      return { tone: 'warn', title: 'Out of memory', next: 'The kernel ended it. What it wrote until then is below.' };
    case 'refused':
      return { tone: 'bad', title: 'Did not start', next: outcome.reason ?? '' };
    case 'lost':
      return { tone: 'bad', title: 'The machine was lost', next: `${outcome.reason ?? ''} Run it again.`.trim() };
    default:
      return { tone: 'warn', title: outcome.kind, next: '' };
  }
}

export const PHASES: [string, string][] = [
  ['queue_us', 'queue'], ['transfer_us', 'transfer'], ['attach_us', 'attach image'], ['mount_us', 'mount'],
  ['unpack_us', 'unpack input'], ['start_us', 'start'], ['run_us', 'run'], ['collect_us', 'collect'], ['stop_us', 'stop'],
];
