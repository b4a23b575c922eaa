// From an address to the page and back (protocol.md 8.11): `/s/ID`, `/#s=...`, and both below
// `/embed`. A draft is kept in this browser, so that a reload loses nothing.

import { effect, signal } from '@preact/signals';
import { fromFailure, type Problem } from '../core/problem';
import { BadState, fromJson, jsonOfHash, SHARE_BYTES_MAX, toHash, toJson, type State } from '../core/state';
import { toUtf8 } from '../core/bytes';
import { createShare, fetchCatalogue, fetchShare, ProblemError } from './api';
import * as runner from './runner';
import * as store from './store';

export const isEmbed = location.pathname === '/embed' || location.pathname.startsWith('/embed/');
/** What kept the page from opening; shown in place of a result. */
export const startProblem = signal<Problem | null>(null);

const DRAFT = 'pe-draft';
const DRAFT_BYTES_MAX = 1_000_000;
const DRAFT_WAIT_MS = 400;

export async function open(): Promise<void> {
  startProblem.value = null;
  const shareId = /^\/(?:embed\/)?s\/([A-Za-z0-9_-]+)$/.exec(location.pathname)?.[1];
  // Both are asked for at once: they need nothing of each other.
  const linked = stateOfAddress(shareId).catch((error: unknown) => {
    startProblem.value = problemOf(error);
    return null;
  });
  try {
    store.setCatalogue(await fetchCatalogue());
  } catch (error) {
    startProblem.value = problemOf(error);
    return;
  }
  const state = await linked;
  if (state) {
    store.restoreState(state);
    if (state.job) await runner.showStored(state.job);
    return;
  }
  const draft = isEmbed || startProblem.value ? null : readDraft();
  if (draft && store.catalogue.value && isKnown(draft)) store.restoreState(draft);
  else startFresh();
}

const isKnown = (state: State): boolean => {
  store.imageReference.value = state.image;
  return store.image.value !== null;
};

function startFresh(): void {
  const images = store.catalogue.value?.images ?? [];
  const wanted = new URLSearchParams(location.search).get('image');
  const first = images.find((image) => image.name === wanted) ?? images.find((image) => image.playground?.examples.length) ?? images[0];
  if (first) store.pickImage(first);
}

async function stateOfAddress(shareId: string | undefined): Promise<State | null> {
  if (location.hash.startsWith('#s=')) return fromJson(jsonOfHash(location.hash));
  return shareId ? fromJson(await fetchShare(shareId)) : null;
}

function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof BadState) {
    return {
      title: 'This link cannot be opened', detail: `${error.message}.`, next: 'Ask for it again, or start with something new.',
      retryAfter: null, pointer: null, requestId: null,
    };
  }
  return fromFailure(error);
}

export interface Links {
  /** Null if the state is too long to be stored. */
  short: string | null;
  full: string;
  problem: string;
}

/** The links to what is on the page. The short one stores it with the server. */
export async function makeLinks(): Promise<Links> {
  const isCurrent = runner.result.value !== null && runner.ranInputs.value === runner.fingerprint();
  const json = toJson(store.currentState(isCurrent ? runner.result.value!.answer.job : null));
  const full = `${location.origin}/${toHash(json)}`;
  if (toUtf8(json).length > SHARE_BYTES_MAX) {
    return { short: null, full, problem: 'The files are over 256 kB, too much to be stored. The long link has all of it.' };
  }
  try {
    return { short: `${location.origin}/s/${await createShare(json)}`, full, problem: '' };
  } catch (error) {
    const { title, next } = problemOf(error);
    return { short: null, full, problem: `No short link: ${title}. ${next} The long link works without the server's help.` };
  }
}

export const embedOf = (link: string): string => link.replace(`${location.origin}/`, `${location.origin}/embed/`).replace('/embed/#', '/embed#');

function readDraft(): State | null {
  try {
    const json = localStorage.getItem(DRAFT);
    return json ? fromJson(json) : null;
  } catch {
    return null;
  }
}

/** Keeps what is on the page in this browser, a moment after each change. */
export function keepDraft(): void {
  if (isEmbed) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    runner.fingerprint();
    if (!store.image.value) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      try {
        const json = toJson(store.currentState(null));
        if (json.length <= DRAFT_BYTES_MAX) localStorage.setItem(DRAFT, json);
      } catch {
        // Storage may be full or forbidden; the page works without it.
      }
    }, DRAFT_WAIT_MS);
  });
}
