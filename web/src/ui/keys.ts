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
      } else if (event.key === 'Escape' && dialog.value.kind === 'none' && !event.defaultPrevented) {
        if (runner.cancel()) event.preventDefault();
      }
    },
    true,
  );
}
