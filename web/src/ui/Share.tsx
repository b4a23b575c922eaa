// Links to what is on the page.

import { useEffect, useState } from 'preact/hooks';
import { embedOf, makeLinks, type Links } from '../app/link';
import * as runner from '../app/runner';
import { copy } from './dialogs';
import { Icon } from './Icon';
import { Modal } from './Modal';

export function Share() {
  const [links, setLinks] = useState<Links | null>(null);
  useEffect(() => {
    void makeLinks().then(setLinks);
  }, []);
  const isCurrent = runner.result.value !== null && runner.ranInputs.value === runner.fingerprint();
  const best = links?.short ?? links?.full ?? '';
  const embed = links ? `<iframe src="${embedOf(best)}" width="100%" height="480" title="Program Explorer"></iframe>` : '';
  return (
    <Modal title="Share">
      <p class="lead">
        {isCurrent
          ? 'Who opens a link sees these files, this command and this result at once.'
          : 'Who opens a link sees these files and this command. Run first, and they see the result at once.'}
      </p>
      {links?.problem && <p class="notice">{links.problem}</p>}
      <div class="share-rows">
        <Row label="Short link" hint="stored on this server" value={links?.short ?? ''} waiting={!links} hidden={links !== null && links.short === null} />
        <Row label="Long link" hint="everything is in it" value={links?.full ?? ''} waiting={!links} />
        <Row label="For a web page" hint="a frame with editor and result" value={embed} waiting={!links} />
        <Row label="For a terminal" hint="runs it again and compares" value={links ? `pe replay '${best}'` : ''} waiting={!links} />
      </div>
    </Modal>
  );
}

function Row({ label, hint, value, waiting, hidden }: { label: string; hint: string; value: string; waiting: boolean; hidden?: boolean }) {
  if (hidden) return null;
  const id = `share-${label.replaceAll(' ', '-').toLowerCase()}`;
  return (
    <div class="share-row">
      <label for={id}>{label} <span>{hint}</span></label>
      <div class="share-value">
        <input id={id} readOnly value={waiting ? '…' : value} onFocus={(event) => event.currentTarget.select()} />
        <button type="button" class="quiet" disabled={waiting} aria-label={`Copy: ${label}`} onClick={() => void copy(value, label)}><Icon name="copy" /></button>
      </div>
    </div>
  );
}
