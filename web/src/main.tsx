import { render } from 'preact';
import { isEmbed, keepDraft, open } from './app/link';
import { watchForAutoRun } from './app/runner';
import { App } from './ui/App';
import { listenToKeys } from './ui/keys';
import { applyTheme } from './ui/theme';

applyTheme();
document.documentElement.classList.toggle('embed', isEmbed);
const root = document.getElementById('app')!;
root.replaceChildren();
render(<App />, root);
listenToKeys();
void open().then(() => {
  keepDraft();
  watchForAutoRun();
});
