// A dialog: the browser's own, which keeps the focus and closes on Escape.

import type { ComponentChildren, RefObject } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { close } from './dialogs';
import { Icon } from './Icon';

export function Modal({ title, children, wide, initial }: { title: string; children: ComponentChildren; wide?: boolean; initial?: RefObject<HTMLInputElement | null> }) {
  const box = useRef<HTMLDialogElement>(null);
  // Before the next key can be typed.
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current?.showModal();
    initial?.current?.focus();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={box}
      class={wide ? 'modal wide' : 'modal'}
      aria-label={title}
      onClose={close}
      onClick={(event) => event.target === box.current && close()}
    >
      <div class="modal-body">
        <div class="modal-head">
          <h2>{title}</h2>
          <button type="button" class="quiet square" aria-label="Close" onClick={close}><Icon name="close" /></button>
        </div>
        {children}
      </div>
    </dialog>
  );
}
