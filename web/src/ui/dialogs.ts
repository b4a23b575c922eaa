// Which dialog is open, and small messages. At most one of each.

import { signal } from '@preact/signals';

export type Dialog =
  | { kind: 'none' }
  | { kind: 'images' }
  | { kind: 'share' }
  | { kind: 'keys' }
  | { kind: 'name'; path: string | null };

export const dialog = signal<Dialog>({ kind: 'none' });
export const close = (): void => {
  dialog.value = { kind: 'none' };
};

/** Read out and shown for a moment. */
export const message = signal('');
let timer: ReturnType<typeof setTimeout> | undefined;
const MESSAGE_MS = 5000;

export function say(text: string): void {
  message.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (message.value = ''), MESSAGE_MS);
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    say('The browser did not allow copying. Select the text and copy it.');
  }
}

/** On a phone one of two panes is shown. */
export const pane = signal<'input' | 'result'>('input');
