// Errors as sentences with a next step (protocol.md 8.4). Whatever goes wrong ends here, so that
// there is never a blank page.

export interface Problem {
  title: string;
  detail: string;
  /** What the person can do. */
  next: string;
  /** Seconds until trying again may help; null if trying again does not. */
  retryAfter: number | null;
  pointer: string | null;
  requestId: string | null;
}

const NEXT: Record<string, string> = {
  'bad-request': 'Change what is named and run again.',
  'too-large': 'Make the files smaller: all of them together may have 16 MB.',
  'unknown-image': 'Pick another image; this one is not in the catalogue any more.',
  'unknown-result': 'Run it again.',
  'unauthorized': 'This server wants a key that this page does not have.',
  'forbidden': 'The operator does not let you do this.',
  'too-many-requests': 'You asked more often than you may. It is tried again by itself when the time is over.',
  'budget-spent': 'The CPU time that you may use is spent for now. It is tried again when there is some.',
  'no-room': 'The service is full at the moment. It is tried again by itself.',
  'queue-full': 'Many are waiting already. It is tried again by itself.',
  'queue-too-long': 'The queue is longer than you would wait. It is tried again by itself.',
  'queue-timeout': 'No machine came free in time. It is tried again by itself.',
  'too-many-connections': 'Close other tabs of this page, or wait.',
  'no-worker': 'No machine that can run this image is connected. Pick another image, or try again later.',
  'worker-lost': 'The machine that ran it went away. Run it again.',
  'draining': 'The service is being restarted. It is tried again by itself.',
  'request-timeout': 'Your upload was too slow. Run it again.',
  'internal': 'This is a defect of ours. The request id helps us to find it.',
};

/** The longest wait that is worth a countdown. */
const RETRY_SECONDS_MAX = 3600;

export function fromResponse(status: number, retryAfter: string | null, body: unknown): Problem {
  const fields = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const text = (name: string) => (typeof fields[name] === 'string' ? (fields[name] as string) : null);
  const name = text('type')?.replace('urn:pe:problem:', '') ?? '';
  const retries = fields['retry'] === true || (name === '' && [429, 502, 503, 504].includes(status));
  const stated = retryAfter !== null && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : null;
  return {
    title: text('title') ?? `The server answered ${status}`,
    detail: text('detail') ?? '',
    next: NEXT[name] ?? (retries ? 'Try again in a moment.' : 'Reload the page; if it stays, tell the operator.'),
    retryAfter: retries ? Math.min(stated ?? 3, RETRY_SECONDS_MAX) : null,
    pointer: text('pointer'),
    requestId: text('request_id'),
  };
}

export function fromFailure(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  // Browsers say `TypeError: Failed to fetch` and little else when the network is at fault.
  if (error instanceof TypeError) {
    return {
      title: 'The server cannot be reached',
      detail: '',
      next: 'Your work is kept here. Look at your connection; it is tried again by itself.',
      retryAfter: 5,
      pointer: null,
      requestId: null,
    };
  }
  return { title: 'It could not be run', detail: message, next: '', retryAfter: null, pointer: null, requestId: null };
}

/** What a JSON pointer means on this page. */
export function placeOf(pointer: string | null): string | null {
  const first = pointer?.split('/')[1];
  if (first === undefined) return null;
  const places: Record<string, string> = {
    args: 'the command', entrypoint: 'the command', files: 'the files', stdin: 'standard input', env: 'the environment',
    limits: 'the limits', outputs: 'the files to return', image: 'the image', cwd: 'the working directory',
  };
  return places[first] ?? null;
}
