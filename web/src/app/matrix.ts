// The same input over several images and over the values of a field: each cell is a job of its own,
// looked up first and run if it is not known.

import { signal } from '@preact/signals';
import { equal, lossyText } from '../core/bytes';
import { findImage, type Field } from '../core/catalogue';
import { firstDifference } from '../core/diff';
import { archiveOf, digestOf, type RunConfig } from '../core/job';
import { defaultValues, expand, refusalOf } from '../core/playground';
import { fromFailure, type Problem } from '../core/problem';
import type { Result } from '../core/result';
import { lookUp, ProblemError, run } from './api';
import * as store from './store';

export interface Cell {
  image: string;
  /** Null where there is one column only. */
  value: string | null;
  state: 'waiting' | 'running' | 'done' | 'failed';
  result: Result | null;
  problem: Problem | null;
  /** Against the first cell; empty if equal. */
  difference: string;
}

export const images = signal<string[]>([]);
export const field = signal('');
export const cells = signal<Cell[]>([]);
export const isRunning = signal(false);

const AT_A_TIME = 2;
export const CELLS_MAX = 64;
const WAIT_MS_MAX = 20_000;
let controller: AbortController | null = null;

/** The values that a field can take one after the other. */
export function valuesOf(of: Field | undefined): { value: string; label: string }[] {
  if (of?.kind === 'choice') return of.options.map(({ value, label }) => ({ value, label }));
  if (of?.kind === 'flag') return [{ value: 'false', label: `without ${of.label}` }, { value: 'true', label: of.label }];
  if (of?.kind === 'number' && (of.max - of.min) / of.step < 9) {
    return Array.from({ length: Math.floor((of.max - of.min) / of.step) + 1 }, (_, n) => String(of.min + n * of.step)).map((value) => ({ value, label: value }));
  }
  return [];
}

function configFor(reference: string, value: string | null): RunConfig {
  const known = store.catalogue.value;
  const playground = known ? findImage(known, reference)?.playground : null;
  if (store.byHand.value || !playground) return store.configOf(reference, store.command.value, store.formCommand.value.env);
  // Of the values that are chosen, those that this image's form has too.
  const values = defaultValues(playground);
  for (const each of playground.fields) {
    const chosen = store.values.value[each.name];
    if (chosen !== undefined && refusalOf(each, chosen) === null) values[each.name] = chosen;
  }
  if (value !== null) values[field.value] = value;
  const isSame = reference === store.imageReference.value;
  const template = (isSame && store.template.value) || playground.command;
  const { args, env } = expand(playground, values, template);
  const ownCommand = known ? findImage(known, reference)?.platforms[0]?.config.cmd : undefined;
  return store.configOf(reference, template.length > 0 ? args : (ownCommand ?? []), env);
}

export async function start(): Promise<void> {
  cancel();
  const mine = new AbortController();
  controller = mine;
  const columns = valuesOf(store.playground.value?.fields.find((each) => each.name === field.value)).map(({ value }) => value);
  const rows = images.value.length > 0 ? images.value : [store.imageReference.value];
  const made: Cell[] = rows.flatMap((image) =>
    (columns.length > 0 ? columns : [null]).map((value) => ({ image, value, state: 'waiting' as const, result: null, problem: null, difference: '' })),
  );
  cells.value = made.slice(0, CELLS_MAX);
  isRunning.value = true;
  const archive = archiveOf(store.inputFiles(), store.bytesOfFile(store.stdin.value), store.directories.value);
  let next = 0;
  const worker = async () => {
    while (next < cells.value.length && !mine.signal.aborted) {
      const at = next++;
      update(at, { state: 'running' });
      const { image, value } = cells.value[at]!;
      const outcome = await runOne(() => configFor(image, value), archive, mine.signal);
      if (mine.signal.aborted) return;
      update(at, outcome);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  if (!mine.signal.aborted) isRunning.value = false;
}

async function runOne(make: () => RunConfig, archive: Uint8Array<ArrayBuffer>, aborted: AbortSignal): Promise<Partial<Cell>> {
  for (let attempt = 0; ; attempt++) {
    try {
      const began = performance.now();
      // A value that does not go with the others is a cell that says so.
      const config = make();
      const digest = await digestOf(config, archive, store.catalogue.value!);
      const known = await lookUp(digest, aborted);
      const found = known ?? (await run({ config, archive, digest }, aborted));
      return { state: 'done', result: { ...found, wasKnown: known !== null, tookMs: performance.now() - began } };
    } catch (error) {
      const problem = error instanceof ProblemError ? error.problem : fromFailure(error);
      const wait = problem.retryAfter === null ? null : problem.retryAfter * 1000;
      if (aborted.aborted || wait === null || wait > WAIT_MS_MAX || attempt >= 4) return { state: 'failed', problem };
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

function update(at: number, change: Partial<Cell>): void {
  const all = cells.value.map((cell, n) => (n === at ? { ...cell, ...change } : cell));
  const first = all[0]?.result;
  cells.value = all.map((cell, n) => (n === 0 || !first || !cell.result ? cell : { ...cell, difference: differenceOf(first, cell.result) }));
}

/** The first thing that differs, in a few words. */
export function differenceOf(a: Result, b: Result): string {
  const [x, y] = [a.answer.outcome, b.answer.outcome];
  if (x.kind !== y.kind || x.code !== y.code || x.signal !== y.signal) return 'ends differently';
  for (const name of ['stdout', 'stderr'] as const) {
    if (equal(a[name], b[name])) continue;
    const line = firstDifference(lossyText(a[name]), lossyText(b[name]))?.line;
    return line ? `${name}, line ${line}` : `${name}, bytes`;
  }
  for (const file of b.files) {
    const other = a.files.find((each) => each.path === file.path);
    if (!other) return `${file.path} is new`;
    if (!equal(other.data, file.data)) return `${file.path} differs`;
  }
  return a.files.length > b.files.length ? 'a file is missing' : '';
}

export function cancel(): void {
  controller?.abort();
  controller = null;
  isRunning.value = false;
  cells.value = cells.value.filter((cell) => cell.state === 'done' || cell.state === 'failed');
}
