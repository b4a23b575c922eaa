// The inside of the frame in which output is looked at. Its origin is nobody's and its policy lets
// it load nothing but our own scripts, so whatever a document or a parser does, it does it here.

import type { FromSandbox, ToSandbox } from './messages';

const tell = (message: FromSandbox): void => window.parent.postMessage(message, '*');

window.addEventListener('message', (event: MessageEvent<ToSandbox>) => {
  if (event.source !== window.parent || event.data?.pe !== 'show') return;
  show(event.data).then(
    (note) => tell({ pe: 'shown', note }),
    (error: unknown) => tell({ pe: 'failed', why: error instanceof Error ? error.message : String(error) }),
  );
}, { once: true });
tell({ pe: 'ready' });

async function show({ kind, path, data, dark }: ToSandbox): Promise<string> {
  document.documentElement.classList.toggle('dark', dark && kind === 'model');
  document.body.className = kind;
  switch (kind) {
    case 'svg':
      return showSvg(path, data);
    case 'html':
      return showHtml(data);
    case 'pdf':
      return (await import('./pdf')).showPdf(data);
    case 'model':
      return (await import('./model')).showModel(path, data, dark);
  }
}

/** As a picture: scripts in it are never run, and it can load nothing. */
async function showSvg(path: string, data: BlobPart): Promise<string> {
  const image = new Image();
  image.alt = path;
  image.src = URL.createObjectURL(new Blob([data], { type: 'image/svg+xml' }));
  document.body.append(image);
  await image.decode().catch(() => {
    throw new Error('it is no picture that the browser understands');
  });
  return image.naturalWidth ? `${image.naturalWidth} × ${image.naturalHeight}` : '';
}

/** The document takes this one's place, and keeps its policy: styles, but neither scripts nor network. */
function showHtml(data: AllowSharedBufferSource): string {
  const text = new TextDecoder().decode(data);
  document.open();
  document.write(text);
  document.close();
  return 'Shown without scripts and without a network.';
}
