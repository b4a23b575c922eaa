// PDF by pdf.js, on the frame's own thread: a worker of another origin may not be started here.

import * as pdfjs from 'pdfjs-dist';

const PAGES_MAX = 50;
const SCALE = 1.5;

export async function showPdf(data: Uint8Array<ArrayBuffer>): Promise<string> {
  // @ts-expect-error The worker's module has no types; loaded here, it is used without a worker.
  (globalThis as Record<string, unknown>)['pdfjsWorker'] = await import('pdfjs-dist/build/pdf.worker.mjs');
  const document_ = await pdfjs.getDocument({ data, isEvalSupported: false, useWasm: false, useWorkerFetch: false, disableFontFace: false } as Parameters<typeof pdfjs.getDocument>[0]).promise;
  const count = Math.min(document_.numPages, PAGES_MAX);
  for (let n = 1; n <= count; n++) {
    const page = await document_.getPage(n);
    const viewport = page.getViewport({ scale: SCALE });
    const canvas = document.createElement('canvas');
    canvas.width = viewport.width;
    canvas.height = viewport.height;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `Page ${n}`);
    document.body.append(canvas);
    await page.render({ canvas, canvasContext: canvas.getContext('2d')!, viewport }).promise;
  }
  const pages = document_.numPages === 1 ? '1 page' : `${document_.numPages} pages`;
  return count < document_.numPages ? `${pages}, of which ${count} are shown.` : pages;
}
