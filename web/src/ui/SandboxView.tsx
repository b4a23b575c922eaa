// Output that is drawn as a document or by a large library: in a frame whose origin is nobody's.
// The frame gets bytes by a message and can do nothing to the page.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Bytes } from '../core/bytes';
import type { FromSandbox, ToSandbox } from '../sandbox/messages';
import { isDark } from './theme';

export function SandboxView({ kind, path, data }: { kind: ToSandbox['kind']; path: string; data: Bytes }) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [note, setNote] = useState('Loading');
  const dark = isDark();
  useEffect(() => {
    const hear = (event: MessageEvent<FromSandbox>) => {
      // The frame's origin is opaque, so it is known by its window.
      if (!frame.current?.contentWindow || event.source !== frame.current.contentWindow) return;
      const heard = event.data;
      if (heard?.pe === 'ready') {
        const message: ToSandbox = { pe: 'show', kind, path, data: data.slice(), dark };
        frame.current.contentWindow.postMessage(message, '*', [message.data.buffer]);
      } else if (heard?.pe === 'shown') setNote(String(heard.note).slice(0, 200));
      else if (heard?.pe === 'failed') setNote(`This cannot be shown: ${String(heard.why).slice(0, 200)}`);
    };
    window.addEventListener('message', hear);
    return () => window.removeEventListener('message', hear);
  }, [kind, path, data, dark]);
  return (
    <div class="sandbox">
      <iframe ref={frame} key={String(dark)} src="/sandbox" sandbox="allow-scripts" title={`Output ${path}`} referrerpolicy="no-referrer" />
      <p class="sandbox-note" role="status">{note || '\u00a0'}</p>
    </div>
  );
}
