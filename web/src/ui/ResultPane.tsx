// The right pane: how the run is getting on or ended, and what it left.

import { signal, useSignal, useSignalEffect } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { startProblem, open } from '../app/link';
import * as runner from '../app/runner';
import * as store from '../app/store';
import { sizeInWords, timeInWords } from '../core/bytes';
import { placeOf, type Problem } from '../core/problem';
import { outcomeInWords, type Result } from '../core/result';
import { Compare, pinned } from './Compare';
import { Details } from './Details';
import { Icon } from './Icon';
import { RUN_KEY, runNow } from './keys';
import { Matrix } from './Matrix';
import { isVisual, OutputFiles } from './OutputFiles';
import { StreamView } from './StreamView';
import { say } from './dialogs';

type Tab = 'output' | 'files' | 'details' | 'compare' | 'matrix';
export const tab = signal<Tab>('output');

export function ResultPane() {
  const { result, state } = runner;
  useSignalEffect(() => {
    // Pictures are what was wanted; everything else begins with text.
    void runner.generation.value;
    const shown = result.peek();
    if (!shown || tab.peek() === 'compare' || tab.peek() === 'matrix') return;
    const hasPicture = shown.files.some(isVisual);
    tab.value = hasPicture && shown.stdout.length + shown.stderr.length < 400 ? 'files' : 'output';
  });
  const shown = result.value;
  const tabs: [Tab, string, boolean][] = [
    ['output', 'Output', true],
    ['files', shown && shown.files.length > 0 ? `Files ${shown.files.length}` : 'Files', true],
    ['details', 'Details', true],
    ['compare', 'Compare', pinned.value !== null],
    ['matrix', 'Matrix', store.image.value !== null],
  ];
  const there = tabs.filter(([, , isThere]) => isThere);
  const keys = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = there.findIndex(([name]) => name === tab.value);
    tab.value = there[(at + step + there.length) % there.length]![0];
    document.getElementById(`tab-result-${tab.value}`)?.focus();
  };
  const problem = startProblem.value ?? (state.value.phase === 'problem' ? state.value.problem : null);
  return (
    <div class="result" data-generation={runner.generation.value} data-phase={state.value.phase}>
      <Status />
      <div class="tabs">
        <div class="tablist" role="tablist" aria-label="Parts of the result" onKeyDown={keys}>
          {there.map(([name, label]) => (
            <button key={name} type="button" role="tab" class="tab" id={`tab-result-${name}`} aria-selected={tab.value === name} aria-controls="result-body" tabIndex={tab.value === name ? 0 : -1} onClick={() => (tab.value = name)}>
              {label}
            </button>
          ))}
        </div>
        {shown && (
          <div class="tab-tools">
            <button type="button" class="quiet small" title="Keep this result and compare the next one with it" onClick={() => {
              pinned.value = { result: shown, label: `${store.imageReference.value.split('@')[0]}` };
              say('Pinned. The next result is compared with it.');
            }}>
              <Icon name="pin" /> Pin
            </button>
          </div>
        )}
      </div>
      <div class="result-body" id="result-body" role="tabpanel" aria-labelledby={`tab-result-${tab.value}`} data-stale={runner.isBusy() ? 'yes' : 'no'}>
        {problem && tab.value !== 'matrix' ? <ProblemView problem={problem} isStart={startProblem.value !== null} />
        : tab.value === 'matrix' ? <Matrix />
        : tab.value === 'compare' ? <Compare />
        : shown === null ? <Welcome />
        : tab.value === 'output' ? <Streams key={runner.generation.value} result={shown} />
        : tab.value === 'files' ? <OutputFiles key={runner.generation.value} result={shown} />
        : <Details result={shown} />}
      </div>
    </div>
  );
}

/** One line of fixed height: what happens, or how it ended. */
function Status() {
  const { state, result } = runner;
  const now = state.value;
  const shown = result.value;
  if (now.phase === 'looking') return <StatusLine tone="busy" title="Looking for a known result" />;
  if (now.phase === 'sending') return <Sending since={now.since} />;
  if (now.phase === 'problem') return <StatusLine tone="bad" title="Not run" />;
  if (startProblem.value) return <StatusLine tone="bad" title="Not opened" />;
  if (now.note) return <StatusLine tone="warn" title={now.note} />;
  if (!shown) return <StatusLine tone="none" title="Nothing was run yet" />;
  const { tone, title } = outcomeInWords(shown);
  const isOld = runner.ranInputs.value !== runner.fingerprint();
  return (
    <StatusLine tone={tone} title={title}>
      <span>{timeInWords(shown.answer.usage.wall_us)}</span>
      <span>{sizeInWords(shown.answer.usage.max_rss_bytes)}</span>
      <span class="tag" data-kind={shown.wasKnown ? 'hit' : shown.answer.cache} title={cacheInWords(shown)}>
        {shown.wasKnown || shown.answer.cache === 'hit' ? 'known result' : shown.answer.cache === 'joined' ? 'shared run' : 'new run'}
      </span>
      {isOld && <span class="tag" data-kind="old" title="Files, command or options changed since">changed since</span>}
    </StatusLine>
  );
}

export function cacheInWords({ wasKnown, answer, tookMs }: Result): string {
  const took = timeInWords(Math.round(tookMs * 1000));
  if (wasKnown) return `The server knew the result of this job; nothing was uploaded. It took ${took}.`;
  if (answer.cache === 'hit') return `The server knew the result. It took ${took}.`;
  if (answer.cache === 'joined') return `Somebody was running the same; you share the result. It took ${took}.`;
  return `Run for you in a machine of its own. It took ${took} from click to answer.`;
}

function StatusLine({ tone, title, children }: { tone: string; title: string; children?: preact.ComponentChildren }) {
  return (
    <div class="status" data-tone={tone}>
      <span class="status-dot" aria-hidden="true" />
      <strong class="status-title">{title}</strong>
      <span class="status-facts">{children}</span>
    </div>
  );
}

function Sending({ since }: { since: number }) {
  const now = useSignal(performance.now());
  useEffect(() => {
    const timer = setInterval(() => (now.value = performance.now()), 100);
    return () => clearInterval(timer);
  }, []);
  const { state } = runner;
  const progress = state.value.phase === 'sending' ? state.value.progress : null;
  const title =
    progress?.state === 'queued' ? placeInQueue(progress.position ?? 0)
    : progress?.state === 'fetching' ? `A worker fetches the image: ${progress.percent ?? 0} %`
    : progress?.state === 'running' ? 'Running'
    : 'Running';
  const seconds = ((now.value - since) / 1000).toFixed(1);
  return (
    <StatusLine tone="busy" title={title}>
      <span class="ticking">{seconds} s</span>
      {progress?.state === 'queued' && progress.wait_ms !== undefined && <span>about {Math.ceil(progress.wait_ms / 1000)} s to wait</span>}
      {progress?.state === 'fetching' && progress.bytes_total !== undefined && <span>{sizeInWords(progress.bytes ?? 0)} of {sizeInWords(progress.bytes_total)}</span>}
    </StatusLine>
  );
}

const placeInQueue = (position: number): string =>
  position === 0 ? 'In the queue' : position === 1 ? 'Next in the queue' : `Number ${position} in the queue`;

function Streams({ result }: { result: Result }) {
  const { answer, stdout, stderr } = result;
  const { next, tone } = outcomeInWords(result);
  const isCut = (name: string) => answer.truncated.includes(name);
  const isSilent = stdout.length === 0 && stderr.length === 0;
  return (
    <div class="streams">
      {next && <p class="outcome-next" data-tone={tone}>{next}</p>}
      {answer.notes.map((note) => <p class="outcome-next" data-tone="warn" key={note}>{note}</p>)}
      {isSilent && <p class="nothing">{result.files.length > 0 ? 'No text. See Files.' : 'The program wrote nothing.'}</p>}
      {stderr.length > 0 && <StreamView name="stderr" data={stderr} isCut={isCut('stderr')} cutAt={answer.limits['stderr_bytes']} />}
      {stdout.length > 0 && <StreamView name="stdout" data={stdout} isCut={isCut('stdout')} cutAt={answer.limits['stdout_bytes']} />}
    </div>
  );
}

function ProblemView({ problem, isStart }: { problem: Problem; isStart: boolean }) {
  const { state } = runner;
  const retryAt = state.value.phase === 'problem' ? state.value.retryAt : null;
  const now = useSignal(performance.now());
  useEffect(() => {
    const timer = setInterval(() => (now.value = performance.now()), 250);
    return () => clearInterval(timer);
  }, []);
  const place = placeOf(problem.pointer);
  const left = retryAt === null ? null : Math.max(0, Math.ceil((retryAt - now.value) / 1000));
  return (
    <div class="problem" role="alert">
      <h3>{problem.title}</h3>
      {problem.detail && <p>{problem.detail}</p>}
      {place && <p>It is about {place} (<code>{problem.pointer}</code>).</p>}
      {problem.next && <p>{problem.next}</p>}
      <div class="problem-actions">
        {isStart ? <button type="button" class="primary" onClick={() => void open()}>Try again</button>
        : <button type="button" class="primary" onClick={() => runNow()}>{left !== null ? `Try now (by itself in ${left} s)` : 'Run again'}</button>}
        {isStart && store.catalogue.value && <button type="button" class="quiet" onClick={() => { startProblem.value = null; location.assign('/'); }}>Start with something new</button>}
        {!isStart && <button type="button" class="quiet" onClick={() => runner.cancel()}>Dismiss</button>}
      </div>
      {problem.requestId && <p class="request-id">Request id: <code>{problem.requestId}</code></p>}
    </div>
  );
}

function Welcome() {
  const image = store.image.value;
  const examples = image?.playground?.examples ?? [];
  return (
    <div class="welcome">
      {image && (
        <>
          <h2>{image.title}</h2>
          <p>{image.description}</p>
          <p>
            Every run has a small virtual machine of its own, without a network, that is thrown away afterwards. Input files are in
            <code>/input</code>, where the command starts; what it leaves in <code>/output</code> comes back.
          </p>
          <p><button type="button" class="primary" onClick={() => runNow()}>Run it</button> <kbd>{RUN_KEY}</kbd></p>
          {examples.length > 0 && (
            <>
              <h3>Examples</h3>
              <ul class="example-list">
                {examples.map((example) => (
                  <li key={example.title}>
                    <button type="button" onClick={() => { store.loadExample(image, example); runNow(); }}>
                      <strong>{example.title}</strong>
                      {example.description && <span>{example.description}</span>}
                    </button>
                  </li>
                ))}
              </ul>
            </>
          )}
        </>
      )}
    </div>
  );
}
