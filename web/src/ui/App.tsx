// The page: a bar, the command, and two panes.

import { useSignalEffect } from '@preact/signals';
import { isEmbed, startProblem } from '../app/link';
import * as runner from '../app/runner';
import * as store from '../app/store';
import { outcomeInWords } from '../core/result';
import { CommandBar } from './CommandBar';
import { dialog, message, pane } from './dialogs';
import { Files } from './Files';
import { Header } from './Header';
import { ImagePicker } from './ImagePicker';
import { Keys } from './Keys';
import { NameDialog } from './NameDialog';
import { OptionsBar } from './OptionsBar';
import { ResultPane } from './ResultPane';
import { Share } from './Share';

export function App() {
  const open = dialog.value;
  return (
    <div class="app" data-pane={pane.value} data-ready={store.image.value || startProblem.value ? 'yes' : 'no'}>
      <Header />
      <CommandBar />
      {!isEmbed && <OptionsBar />}
      <main class="panes">
        <section class="pane pane-input" aria-label="Input files" id="pane-input">
          <Files />
        </section>
        <section class="pane pane-result" aria-label="Result" id="pane-result">
          <ResultPane />
        </section>
      </main>
      <nav class="switch" aria-label="Panes">
        <button type="button" aria-pressed={pane.value === 'input'} onClick={() => (pane.value = 'input')}>Code</button>
        <button type="button" aria-pressed={pane.value === 'result'} onClick={() => (pane.value = 'result')}>Result</button>
      </nav>
      {open.kind === 'images' && <ImagePicker />}
      {open.kind === 'share' && <Share />}
      {open.kind === 'keys' && <Keys />}
      {open.kind === 'name' && <NameDialog path={open.path} />}
      <p class="message" role="status" aria-live="polite" data-shown={message.value ? 'yes' : 'no'}>{message.value}</p>
      <Announcer />
    </div>
  );
}

/** Tells who cannot see it that a run ended. */
function Announcer() {
  useSignalEffect(() => {
    const title = store.image.value?.title;
    document.title = title ? `${title} · Program Explorer` : 'Program Explorer';
  });
  const { result, state } = runner;
  const text =
    state.value.phase === 'looking' || state.value.phase === 'sending' ? 'Running.'
    : state.value.phase === 'problem' ? state.value.problem.title
    : result.value ? outcomeInWords(result.value).title
    : '';
  return <p class="unseen" role="status" aria-live="polite">{text}</p>;
}
