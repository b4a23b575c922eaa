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

/** In a frame that may do nothing: no scripts, no forms, and no going elsewhere. */
function showHtml(data: AllowSharedBufferSource): string {
  const frame = document.createElement('iframe');
  frame.setAttribute('sandbox', '');
  frame.title = 'Output';
  // Our own scripts and styles are of no use to it either.
  const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; media-src data: blob:";
  frame.srcdoc = `<!doctype html><meta http-equiv="content-security-policy" content="${policy}">${new TextDecoder().decode(data)}`;
  document.body.append(frame);
  return 'Shown without scripts and without a network.';
}
