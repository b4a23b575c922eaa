// The client API (protocol.md 8) as this page uses it. Whatever is no result is thrown as a
// `Problem`, so that callers have one kind of failure.

import type { Bytes } from '../core/bytes';
import type { Catalogue } from '../core/catalogue';
import type { Job } from '../core/job';
import { encodeRequest } from '../core/job';
import { fromResponse, type Problem } from '../core/problem';
import { decodeAnswer, type Result } from '../core/result';

const BINARY = 'application/vnd.pe.v1';

export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }
}

async function problemOf(response: Response): Promise<ProblemError> {
  const body: unknown = await response.json().catch(() => null);
  return new ProblemError(fromResponse(response.status, response.headers.get('retry-after'), body));
}

export async function fetchCatalogue(signal?: AbortSignal): Promise<Catalogue> {
  const response = await fetch('/api/v1/images', { signal: signal ?? null });
  if (!response.ok) throw await problemOf(response);
  return (await response.json()) as Catalogue;
}

type Decoded = Pick<Result, 'answer' | 'stdout' | 'stderr' | 'files'>;

const bodyOf = async (response: Response): Promise<Bytes> => new Uint8Array(await response.arrayBuffer());

/** A result that is known already, or null. Nothing is uploaded. */
export async function lookUp(digest: string, signal: AbortSignal): Promise<Decoded | null> {
  const response = await fetch(`/api/v1/results/${digest}`, { headers: { accept: BINARY }, signal });
  if (response.status === 404) {
    await response.body?.cancel();
    return null;
  }
  if (!response.ok) throw await problemOf(response);
  return decodeAnswer(await bodyOf(response));
}

export async function run(job: Job, signal: AbortSignal): Promise<Decoded> {
  const response = await fetch('/api/v1/run', {
    method: 'POST',
    headers: { 'content-type': BINARY, accept: BINARY },
    body: encodeRequest(job.config, job.archive),
    signal,
  });
  if (!response.ok) throw await problemOf(response);
  return decodeAnswer(await bodyOf(response));
}

export interface Progress {
  state: 'queued' | 'fetching' | 'running';
  position?: number;
  wait_ms?: number;
  percent?: number;
  bytes?: number;
  bytes_total?: number;
  for_ms?: number;
}

/** How a run is getting on, or null if nothing is known of it. */
export async function progressOf(digest: string, signal: AbortSignal): Promise<Progress | null> {
  const response = await fetch(`/api/v1/progress/${digest}`, { signal });
  if (!response.ok) return null;
  return (await response.json()) as Progress;
}

export async function createShare(json: string): Promise<string> {
  const response = await fetch('/api/v1/shares', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: json,
  });
  if (!response.ok) throw await problemOf(response);
  const { share } = (await response.json()) as { share: string };
  return share;
}

export async function fetchShare(id: string): Promise<string> {
  const response = await fetch(`/api/v1/shares/${encodeURIComponent(id)}`);
  if (!response.ok) throw await problemOf(response);
  return response.text();
}
