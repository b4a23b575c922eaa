// One run at a time: look the result up, else send the job, and say how it is getting on.
//
//   idle -> looking -> (known) done
//                   -> sending -> done | problem -> (countdown) looking ...
//   any of them -> idle, by cancel()

import { batch, effect, signal } from '@preact/signals';
import { archiveOf, digestOf, type Job } from '../core/job';
import { fromFailure, type Problem } from '../core/problem';
import type { Result } from '../core/result';
import { lookUp, ProblemError, progressOf, run, type Progress } from './api';
import * as store from './store';

export type Run =
  | { phase: 'idle'; note: string }
  | { phase: 'looking' }
  | { phase: 'sending'; progress: Progress | null; since: number }
  | { phase: 'problem'; problem: Problem; retryAt: number | null };

export const state = signal<Run>({ phase: 'idle', note: '' });
export const result = signal<Result | null>(null);
/** Rises with each result, so that what is shown of it starts anew. */
export const generation = signal(0);
/** What was run to get the result on the page; the page says if it has changed since. */
export const ranInputs = signal('');
export const autoRun = signal(false);

// Each question counts as a request of this client, so they become rarer.
const POLL_MS_FIRST = 400;
const POLL_MS_MAX = 2000;
const RETRIES_MAX = 8;
const DEBOUNCE_MS = 700;

let current: AbortController | null = null;
let retryTimer: ReturnType<typeof setTimeout> | undefined;
let retries = 0;

export const isBusy = (): boolean => state.value.phase === 'looking' || state.value.phase === 'sending';

/** The job of what is on the page. */
export async function jobOf(config = store.configOf(store.imageReference.value, store.command.value, store.formCommand.value.env)): Promise<Job> {
  const known = store.catalogue.value;
  if (!known) throw new Error('The list of images is not here yet.');
  const flaw = store.byHand.value ? null : store.formFlaw.value;
  if (flaw) throw new Error(`The form has a value that will not do (${flaw.pointer.replace('/values/', '')}): ${flaw.message}`);
  if ((config.args ?? []).length + store.entrypoint.value.length === 0) throw new Error('There is no command. Write one in the line at the top.');
  const archive = archiveOf(store.inputFiles(), store.bytesOfFile(store.stdin.value), store.directories.value);
  return { config, archive, digest: await digestOf(config, archive, known) };
}

export function start(options: { fresh?: boolean; isRetry?: boolean } = {}): Promise<void> {
  stop();
  if (!options.isRetry) retries = 0;
  const controller = new AbortController();
  current = controller;
  return attempt(controller, options.fresh ?? false);
}

async function attempt(controller: AbortController, fresh: boolean): Promise<void> {
  const began = performance.now();
  const inputs = fingerprint();
  const { signal: aborted } = controller;
  state.value = { phase: 'looking' };
  try {
    const job = await jobOf();
    const known = fresh ? null : await lookUp(job.digest, aborted);
    if (aborted.aborted) return;
    let found = known;
    if (!found) {
      state.value = { phase: 'sending', progress: null, since: performance.now() };
      void poll(job.digest, controller);
      found = await run(fresh ? { ...job, config: { ...job.config, cache: 'refresh' } } : job, aborted);
    }
    if (aborted.aborted) return;
    finish(controller, { ...found, wasKnown: known !== null, tookMs: performance.now() - began }, inputs);
  } catch (error) {
    if (aborted.aborted) return;
    fail(controller, error instanceof ProblemError ? error.problem : fromFailure(error), fresh);
  }
}

function finish(controller: AbortController, value: Result, inputs: string): void {
  controller.abort();
  batch(() => {
    result.value = value;
    ranInputs.value = inputs;
    generation.value++;
    state.value = { phase: 'idle', note: '' };
  });
}

function fail(controller: AbortController, problem: Problem, fresh: boolean): void {
  controller.abort();
  const again = problem.retryAfter !== null && retries < RETRIES_MAX;
  const wait = (problem.retryAfter ?? 0) * 1000;
  state.value = { phase: 'problem', problem, retryAt: again ? performance.now() + wait : null };
  if (!again) return;
  retries++;
  retryTimer = setTimeout(() => void start({ fresh, isRetry: true }), wait);
}

/** Asks how a run is getting on until it ended. */
async function poll(digest: string, controller: AbortController): Promise<void> {
  const { signal: aborted } = controller;
  for (let wait = POLL_MS_FIRST; !aborted.aborted; wait = Math.min(POLL_MS_MAX, wait * 1.3)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (aborted.aborted) return;
    const progress = await progressOf(digest, aborted).catch(() => null);
    if (!aborted.aborted && progress && state.value.phase === 'sending') state.value = { ...state.value, progress };
  }
}

function stop(): void {
  clearTimeout(retryTimer);
  current?.abort();
  current = null;
}

/** Ends what is under way; the server stops the machine when nobody else waits for it. */
export function cancel(): boolean {
  if (state.value.phase === 'idle') return false;
  const wasProblem = state.value.phase === 'problem';
  stop();
  state.value = { phase: 'idle', note: wasProblem ? '' : 'Cancelled.' };
  return true;
}

/** Shows a stored result, as a link names it. False if it is not stored any more. */
export async function showStored(digest: string): Promise<boolean> {
  stop();
  const controller = new AbortController();
  current = controller;
  const began = performance.now();
  state.value = { phase: 'looking' };
  try {
    const known = await lookUp(digest, controller.signal);
    if (known) {
      finish(controller, { ...known, wasKnown: true, tookMs: performance.now() - began }, fingerprint());
      return true;
    }
    state.value = { phase: 'idle', note: 'The result of this link is not stored any more. Run it again.' };
  } catch (error) {
    if (!controller.signal.aborted) fail(controller, error instanceof ProblemError ? error.problem : fromFailure(error), false);
  }
  return false;
}

let counter = 0;
const seen = new WeakMap<object, number>();
const idOf = (value: object): number => {
  let id = seen.get(value);
  if (id === undefined) seen.set(value, (id = ++counter));
  return id;
};

/** Equal as long as nothing that a run depends on was changed. Reads every signal of it. */
export function fingerprint(): string {
  return JSON.stringify([
    store.imageReference.value, store.arch.value, store.command.value, store.formCommand.value.env,
    store.outputs.value, store.limits.value, store.directories.value, store.files.value.map(idOf), store.stdin.value.text ?? idOf(store.stdin.value),
  ]);
}

/** Runs by itself a moment after the last change, as long as it is switched on. */
export function watchForAutoRun(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const inputs = fingerprint();
    const isOn = autoRun.value;
    clearTimeout(timer);
    if (!isOn || inputs === ranInputs.peek() || store.command.value.length === 0) return;
    timer = setTimeout(() => void start(), DEBOUNCE_MS);
  });
}
