// What a program wrote, as it is: colours, find, wrap, exact bytes to copy or download. Short
// output is laid out whole; long output is rows of which only those in sight exist.

import type { RefObject } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import { paletteColour, plainRow, plainText, rowsOf, runsOf, type Rows, type Style } from '../core/ansi';
import { lossyText, sizeInWords, type Bytes } from '../core/bytes';
import { copy } from './dialogs';
import { download } from './download';
import { Icon } from './Icon';
import { VirtualRows, type RowsHandle } from './VirtualRows';

const LAID_OUT_ROWS_MAX = 1000;
const LAID_OUT_CHARS_MAX = 100_000;
const FOUND_MAX = 10_000;

interface Props {
  name: string;
  data: Bytes;
  isCut: boolean;
  cutAt?: number | undefined;
}

export function StreamView({ name, data, isCut, cutAt }: Props) {
  const text = useMemo(() => lossyText(data), [data]);
  const rows = useMemo(() => rowsOf(text), [text]);
  const [wraps, setWraps] = useState(true);
  const [query, setQuery] = useState<string | null>(null);
  const [at, setAt] = useState(0);
  const handle = useRef<RowsHandle>(null);
  const box = useRef<HTMLDivElement>(null);
  const find = useRef<HTMLInputElement>(null);
  const found = useMemo(() => findIn(rows, query ?? ''), [rows, query]);
  const isShort = rows.starts.length <= LAID_OUT_ROWS_MAX && text.length <= LAID_OUT_CHARS_MAX;

  const jump = (to: number) => {
    if (found.length === 0) return;
    const next = (to + found.length) % found.length;
    setAt(next);
    if (isShort) box.current?.querySelectorAll('.line')[found[next]!]?.scrollIntoView({ block: 'nearest' });
    else handle.current?.scrollTo(found[next]!);
  };
  const openFind = () => {
    setQuery((old) => old ?? '');
    requestAnimationFrame(() => find.current?.select());
  };
  const line = (n: number) => <Line rows={rows} n={n} query={query ?? ''} isCurrent={found[at] === n} />;
  return (
    <section
      class="stream"
      data-name={name}
      aria-label={name}
      onKeyDown={(event) => {
        if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'f') {
          event.preventDefault();
          openFind();
        }
      }}
    >
      <header class="stream-head">
        <h3>{name}</h3>
        <span class="stream-size">{sizeInWords(data.length)}{rows.starts.length > 1 && ` · ${(rows.starts.length + rows.more).toLocaleString('en')} lines`}</span>
        <span class="gap" />
        <button type="button" class="quiet square" aria-label={`Find in ${name}`} title="Find" aria-expanded={query !== null} onClick={() => (query === null ? openFind() : setQuery(null))}><Icon name="search" /></button>
        {isShort && <button type="button" class="quiet square" aria-label={`Wrap long lines of ${name}`} aria-pressed={wraps} title="Wrap long lines" onClick={() => setWraps(!wraps)}><Icon name="wrap" /></button>}
        <button type="button" class="quiet square" aria-label={`Copy ${name}`} title="Copy without colours" onClick={() => void copy(plainText(text), name)}><Icon name="copy" /></button>
        <button type="button" class="quiet square" aria-label={`Download ${name}`} title="Download the exact bytes" onClick={() => download(name, data)}><Icon name="download" /></button>
      </header>
      {query !== null && (
        <Find input={find} name={name} query={query} count={found.length} at={at}
          onQuery={(next) => {
            setQuery(next);
            setAt(0);
          }}
          onJump={(step) => jump(at + step)}
          onClose={() => setQuery(null)} />
      )}
      {isShort ? (
        <div class={wraps ? 'stream-body mono wraps' : 'stream-body mono'} ref={box} tabIndex={0} role="region" aria-label={`Text of ${name}`}>
          {Array.from(rows.starts, (_, n) => <div class="line" key={n}>{line(n)}</div>)}
        </div>
      ) : (
        <VirtualRows count={rows.starts.length} label={`Text of ${name}`} class="mono" handle={handle} row={line} />
      )}
      {rows.more > 0 && <p class="cut">{rows.more.toLocaleString('en')} more lines are not shown. Download to see all of it.</p>}
      {isCut && <p class="cut">Cut here: the program wrote more than {cutAt ? sizeInWords(cutAt) : 'may be kept'}.</p>}
    </section>
  );
}

interface FindProps {
  input: RefObject<HTMLInputElement | null>;
  name: string;
  query: string;
  count: number;
  at: number;
  onQuery: (query: string) => void;
  onJump: (step: number) => void;
  onClose: () => void;
}

function Find({ input, name, query, count, at, onQuery, onJump, onClose }: FindProps) {
  const keys = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      onJump(event.shiftKey ? -1 : 1);
    } else if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      onClose();
    }
  };
  return (
    <div class="find">
      <input ref={input} type="search" aria-label={`Find in ${name}`} placeholder="Find" value={query} spellcheck={false} onInput={(event) => onQuery(event.currentTarget.value)} onKeyDown={keys} />
      <span aria-live="polite">{query === '' ? '' : count === 0 ? 'nothing' : `${at + 1} of ${count === FOUND_MAX ? 'many' : count}`}</span>
    </div>
  );
}

function findIn(rows: Rows, query: string): number[] {
  const found: number[] = [];
  if (query === '') return found;
  const wanted = query.toLowerCase();
  for (let n = 0; n < rows.starts.length && found.length < FOUND_MAX; n++) {
    if (plainRow(rows, n).toLowerCase().includes(wanted)) found.push(n);
  }
  return found;
}

function Line({ rows, n, query, isCurrent }: { rows: Rows; n: number; query: string; isCurrent: boolean }) {
  const runs = runsOf(rows, n);
  if (runs.length === 0) return '\u200b';
  if (query !== '') {
    const plain = plainRow(rows, n);
    if (plain.toLowerCase().includes(query.toLowerCase())) return <Marked text={plain} query={query} isCurrent={isCurrent} />;
  }
  return <>{runs.map(({ text, style }, at) => <Styled key={at} text={text} style={style} />)}</>;
}

function Marked({ text, query, isCurrent }: { text: string; query: string; isCurrent: boolean }) {
  const parts = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(query.toLowerCase()); at >= 0; at = lower.indexOf(query.toLowerCase(), from)) {
    parts.push(text.slice(from, at), <mark key={at} class={isCurrent ? 'current' : ''}>{text.slice(at, at + query.length)}</mark>);
    from = at + query.length;
  }
  return <>{parts}{text.slice(from)}</>;
}

function Styled({ text, style }: { text: string; style: Style }) {
  const [fg, bg] = style.inverse ? [style.bg ?? 'inverse', style.fg ?? 'inverse'] : [style.fg, style.bg];
  const names: string[] = [];
  if (style.bold) names.push('a-bold');
  if (style.dim) names.push('a-dim');
  if (style.italic) names.push('a-italic');
  if (style.underline || style.strike) names.push(style.strike ? 'a-strike' : 'a-underline');
  if (fg === 'inverse' && bg === 'inverse') names.push('a-inverse');
  const css: Record<string, string> = {};
  colour(fg, 'fg', names, css, 'color');
  colour(bg, 'bg', names, css, 'background-color');
  return names.length === 0 && Object.keys(css).length === 0 ? <>{text}</> : <span class={names.join(' ')} style={css}>{text}</span>;
}

function colour(value: number | string | null, which: string, names: string[], css: Record<string, string>, property: string): void {
  if (typeof value === 'number' && value < 16) names.push(`a-${which}${value}`);
  else if (typeof value === 'number') css[property] = paletteColour(value);
  else if (value?.startsWith('#')) css[property] = value;
  else if (value === 'inverse') names.push(`a-${which}-inverse`);
}
