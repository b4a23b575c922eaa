// A pinned result against the one on the page.

import { signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import * as runner from '../app/runner';
import { equal, looksLikeText, lossyText, sizeInWords, timeInWords, type Bytes } from '../core/bytes';
import { plainText } from '../core/ansi';
import { diffLines, type Change } from '../core/diff';
import { outcomeInWords, type Result } from '../core/result';
import { VirtualRows } from './VirtualRows';

export const pinned = signal<{ result: Result; label: string } | null>(null);

export function Compare() {
  const before = pinned.value?.result;
  const after = runner.result.value;
  if (!before || !after) return <p class="nothing">Pin a result first.</p>;
  const paths = [...new Set([...before.files, ...after.files].map((file) => file.path))].sort();
  const find = (result: Result, path: string) => result.files.find((file) => file.path === path)?.data ?? null;
  return (
    <div class="compare">
      <div class="compare-heads">
        <Head title="Pinned" result={before} />
        <Head title="Now" result={after} />
        <button type="button" class="quiet small" onClick={() => (pinned.value = null)}>Unpin</button>
      </div>
      {before === after && <p class="nothing">This is the pinned result itself. Change something and run again.</p>}
      <Difference name="stdout" a={before.stdout} b={after.stdout} />
      <Difference name="stderr" a={before.stderr} b={after.stderr} />
      {paths.map((path) => <Difference key={path} name={path} a={find(before, path)} b={find(after, path)} />)}
    </div>
  );
}

function Head({ title, result }: { title: string; result: Result }) {
  const { tone, title: outcome } = outcomeInWords(result);
  return (
    <div class="compare-head" data-tone={tone}>
      <span>{title}</span>
      <strong><span class="status-dot" aria-hidden="true" />{outcome}</strong>
      <span>{timeInWords(result.answer.usage.wall_us)} · {sizeInWords(result.answer.usage.max_rss_bytes)}</span>
    </div>
  );
}

const CONTEXT = 3;
const LAID_OUT_MAX = 400;

function Difference({ name, a, b }: { name: string; a: Bytes | null; b: Bytes | null }) {
  const state = a === null ? 'new' : b === null ? 'gone' : equal(a, b) ? 'the same' : 'differs';
  const isText = looksLikeText(a ?? new Uint8Array(0)) && looksLikeText(b ?? new Uint8Array(0));
  const rows = useMemo(() => (state === 'differs' && isText ? folded(diffLines(plainText(lossyText(a!)), plainText(lossyText(b!)))) : []), [a, b]);
  if (state === 'the same' && a!.length === 0) return null;
  return (
    <section class="difference" data-state={state} aria-label={`${name}: ${state}`}>
      <header class="stream-head">
        <h3>{name}</h3>
        <span class="stream-size">{state}{state === 'differs' && !isText && `: ${sizeInWords(a!.length)}, ${sizeInWords(b!.length)}`}</span>
      </header>
      {rows.length > 0 && (rows.length <= LAID_OUT_MAX
        ? <div class="diff mono" tabIndex={0} role="region" aria-label={`Differences in ${name}`}>{rows.map((row, n) => <DiffRow key={n} row={row} />)}</div>
        : <VirtualRows count={rows.length} label={`Differences in ${name}`} class="mono diff" row={(n) => <DiffRow row={rows[n]!} />} />)}
    </section>
  );
}

type Row = Change | { kind: 'skip'; count: number };

/** Leaves out what is equal, but for a few lines around each change. */
function folded(changes: Change[]): Row[] {
  const near = new Uint8Array(changes.length);
  changes.forEach((change, at) => {
    if (change.kind === 'same') return;
    for (let n = Math.max(0, at - CONTEXT); n <= Math.min(changes.length - 1, at + CONTEXT); n++) near[n] = 1;
  });
  const rows: Row[] = [];
  changes.forEach((change, at) => {
    const last = rows.at(-1);
    if (near[at]) rows.push(change);
    else if (last?.kind === 'skip') last.count++;
    else rows.push({ kind: 'skip', count: 1 });
  });
  return rows;
}

function DiffRow({ row }: { row: Row }) {
  if (row.kind === 'skip') return <div class="diff-row skip">{row.count} equal {row.count === 1 ? 'line' : 'lines'}</div>;
  const mark = { same: ' ', removed: '−', added: '+' }[row.kind];
  return (
    <div class={`diff-row ${row.kind}`}>
      <span class="diff-number">{row.left ?? ''}</span>
      <span class="diff-number">{row.right ?? ''}</span>
      <span class="diff-mark" aria-label={row.kind === 'same' ? undefined : row.kind} role={row.kind === 'same' ? undefined : 'img'}>{mark}</span>
      <span class="diff-text">{row.line || '\u200b'}</span>
    </div>
  );
}
