// Files that came back: a list, and a viewer for the one that is chosen.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { fromUtf8, looksLikeText, lossyText, sizeInWords, type Bytes } from '../core/bytes';
import type { OutputFile, Result } from '../core/result';
import { parseTable } from '../core/table';
import { typeOf, viewerOf, type Viewer } from '../core/types';
import { addFiles, editFile } from '../app/store';
import { Editor } from '../editor/editor';
import { say } from './dialogs';
import { download, downloadTar, downloadZip } from './download';
import { HexView } from './HexView';
import { Icon } from './Icon';
import { SandboxView } from './SandboxView';
import { StreamView } from './StreamView';
import { VirtualRows } from './VirtualRows';

const VISUAL: Viewer[] = ['image', 'svg', 'html', 'model', 'audio', 'video', 'pdf', 'table'];

const viewerOfFile = (file: OutputFile): Viewer => viewerOf(file.path, file.data, looksLikeText(file.data));
export const isVisual = (file: OutputFile): boolean => file.kind === 'file' && VISUAL.includes(viewerOfFile(file));

export function OutputFiles({ result }: { result: Result }) {
  const { files, answer } = result;
  const first = useMemo(() => Math.max(0, files.findIndex(isVisual)), [files]);
  const [chosen, setChosen] = useState(first);
  if (files.length === 0) return <p class="nothing">No files came back. What a command leaves in <code>/output</code> appears here.</p>;
  const file = files[Math.min(chosen, files.length - 1)]!;
  const name = `result-${answer.job.slice(0, 8)}`;
  return (
    <div class="outputs">
      <div class="outputs-head">
        <ul class="outputs-list" aria-label="Files that came back">
          {files.slice(0, 500).map((each, at) => (
            <li key={each.path}>
              <button type="button" aria-pressed={each === file} onClick={() => setChosen(at)}>
                <span class="outputs-name">{each.path}{each.kind === 'directory' && '/'}</span>
                <span class="outputs-size">{each.kind === 'symlink' ? `→ ${lossyText(each.data)}` : each.kind === 'directory' ? 'empty folder' : sizeInWords(each.data.length)}</span>
              </button>
            </li>
          ))}
        </ul>
        <div class="outputs-tools">
          {files.length > 500 && <span>{files.length - 500} more are in the archive</span>}
          <button type="button" class="quiet small" onClick={() => downloadZip(files, name)}><Icon name="download" /> zip</button>
          <button type="button" class="quiet small" onClick={() => downloadTar(files, name)}><Icon name="download" /> tar</button>
        </div>
      </div>
      {answer.truncated.includes('files') && <p class="cut">Files were left out: together they were over {sizeInWords(answer.limits['output_bytes'] ?? 0)}.</p>}
      <FileView key={file.path} file={file} />
    </div>
  );
}

function FileView({ file }: { file: OutputFile }) {
  const viewer = viewerOfFile(file);
  const [asSource, setAsSource] = useState(false);
  const canSwitch = ['svg', 'html', 'model', 'table', 'pdf', 'image', 'audio', 'video'].includes(viewer);
  const use = () => say(addFiles([editFile(file.path, file.data, file.kind === 'executable')]) ?? `${file.path} is among the input files now.`);
  return (
    <section class="viewer" aria-label={`File ${file.path}`} data-viewer={asSource ? 'source' : viewer}>
      <header class="stream-head">
        <h3>{file.path}</h3>
        <span class="stream-size">{typeOf(file.path)}{file.kind === 'executable' && ', executable'}</span>
        <span class="gap" />
        {canSwitch && <button type="button" class="quiet small" aria-pressed={asSource} onClick={() => setAsSource(!asSource)}>Source</button>}
        {(file.kind === 'file' || file.kind === 'executable') && <button type="button" class="quiet small" title="Make it an input of the next run" onClick={use}>Use as input</button>}
        <button type="button" class="quiet square" aria-label={`Download ${file.path}`} title="Download the exact bytes" onClick={() => download(file.path, file.data)}><Icon name="download" /></button>
      </header>
      <View file={file} viewer={asSource ? (looksLikeText(file.data) ? 'text' : 'binary') : viewer} />
    </section>
  );
}

function View({ file, viewer }: { file: OutputFile; viewer: Viewer }) {
  const { path, data, kind } = file;
  if (kind === 'symlink') return <p class="nothing">A link to <code>{lossyText(data)}</code>. Links are never followed here.</p>;
  if (kind === 'directory') return <p class="nothing">An empty folder.</p>;
  switch (viewer) {
    case 'nothing': return <p class="nothing">The file is empty.</p>;
    case 'image': return <ImageView path={path} data={data} />;
    case 'audio': return <MediaView path={path} data={data} element="audio" />;
    case 'video': return <MediaView path={path} data={data} element="video" />;
    case 'svg': case 'html': case 'pdf': case 'model': return <SandboxView kind={viewer} path={path} data={data} />;
    case 'table': return <TableView path={path} data={data} />;
    case 'binary': return <HexView data={data} />;
    case 'text': return data.length > 300_000 ? <StreamView name={path} data={data} isCut={false} /> : <TextView path={path} data={data} />;
  }
}

function useBlobUrl(data: Bytes, type: string): string {
  const [url, setUrl] = useState('');
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([data], { type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data, type]);
  return url;
}

/** Only formats that are pixels and no documents; the type is ours and never sniffed. */
function ImageView({ path, data }: { path: string; data: Bytes }) {
  const url = useBlobUrl(data, typeOf(path));
  const [size, setSize] = useState('');
  const [failed, setFailed] = useState(false);
  if (failed) return <><p class="nothing">The browser cannot draw this picture.</p><HexView data={data} /></>;
  return (
    <figure class="picture">
      <div class="picture-ground">
        {url && <img src={url} alt={`Picture ${path}`} onError={() => setFailed(true)} onLoad={(event) => setSize(`${event.currentTarget.naturalWidth} × ${event.currentTarget.naturalHeight}`)} />}
      </div>
      <figcaption>{size || '\u00a0'}</figcaption>
    </figure>
  );
}

function MediaView({ path, data, element }: { path: string; data: Bytes; element: 'audio' | 'video' }) {
  const url = useBlobUrl(data, typeOf(path));
  const [failed, setFailed] = useState(false);
  if (failed) return <><p class="nothing">The browser cannot play this file.</p><HexView data={data} /></>;
  if (!url) return null;
  return element === 'audio'
    ? <audio class="media" controls src={url} aria-label={path} onError={() => setFailed(true)} />
    : <video class="media" controls src={url} aria-label={path} onError={() => setFailed(true)} />;
}

function TextView({ path, data }: { path: string; data: Bytes }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!host.current) return;
    const editor = new Editor(host.current);
    editor.show(path, editor.fresh(path, fromUtf8(data) ?? lossyText(data), { label: `Text of ${path}`, readOnly: true }));
    return () => editor.destroy();
  }, [path, data]);
  return <div class="text-view" ref={host} />;
}

const TABLE_ROWS_MAX = 100_000;
const TABLE_CELLS_MAX = 60;

function TableView({ path, data }: { path: string; data: Bytes }) {
  const table = useMemo(() => parseTable(lossyText(data), path.toLowerCase().endsWith('.tsv') ? '\t' : ',', TABLE_ROWS_MAX), [data, path]);
  const [head, ...rows] = table.rows;
  const columns = Math.min(TABLE_CELLS_MAX, Math.max(...table.rows.slice(0, 200).map((row) => row.length), 1));
  const cells = (row: string[]) => Array.from({ length: columns }, (_, n) => <span class="cell" key={n} title={row[n] ?? ''}>{row[n] ?? ''}</span>);
  return (
    <div class="table-view">
      <div class="vrow table-head">{cells(head ?? [])}</div>
      <VirtualRows count={rows.length} label={`Table ${path}`} row={(n) => cells(rows[n] ?? [])} />
      {table.more && <p class="cut">There are more rows. Download the file to see all of it.</p>}
    </div>
  );
}
