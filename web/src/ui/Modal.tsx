// A dialog: the browser's own, which keeps the focus and closes on Escape.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { close } from './dialogs';
import { Icon } from './Icon';

export function Modal({ title, children, wide }: { title: string; children: ComponentChildren; wide?: boolean }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    box.current?.showModal();
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
