// Keys that work everywhere on the page.

import * as runner from '../app/runner';
import { dialog, pane } from './dialogs';

export const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
export const RUN_KEY = isMac ? '⌘⏎' : 'Ctrl ⏎';

export function runNow(fresh = false): void {
  pane.value = 'result';
  void runner.start({ fresh });
}

export function listenToKeys(): void {
  // Before the editor, which has ideas of its own about Ctrl+Enter.
  window.addEventListener(
    'keydown',
    (event) => {
      const mod = event.ctrlKey || event.metaKey;
      if (mod && event.key === 'Enter') {
        event.preventDefault();
        event.stopPropagation();
        if (dialog.value.kind === 'none') runNow(event.shiftKey);
      } else if (mod && event.key.toLowerCase() === 'k' && !event.shiftKey) {
        event.preventDefault();
        event.stopPropagation();
        dialog.value = { kind: 'images' };
      } else if (event.key === 'F6' && dialog.value.kind === 'none') {
        event.preventDefault();
        moveToRegion(event.shiftKey ? -1 : 1);
      } else if (event.key === 'Escape' && dialog.value.kind === 'none' && !event.defaultPrevented) {
        if (runner.cancel()) event.preventDefault();
      }
    },
    true,
  );
}

/** Command, editor and result, one after the other: out of the editor, too, where Tab indents. */
function moveToRegion(step: number): void {
  const regions = ['#command', '.editor:not([hidden]), .binary', '#pane-result'].map((selector) => document.querySelector<HTMLElement>(selector));
  const at = regions.findIndex((region) => region?.contains(document.activeElement));
  const next = regions[(Math.max(at, step > 0 ? -1 : 0) + step + regions.length) % regions.length];
  pane.value = next?.closest('#pane-result') ? 'result' : 'input';
  const target = next?.id === 'pane-result' ? next.querySelector<HTMLElement>('[role=tab][aria-selected=true]') : next;
  target?.focus();
}
