import * as link from '../app/link';
import * as runner from '../app/runner';
import * as store from '../app/store';
import { dialog } from './dialogs';
import { Icon } from './Icon';
import { RUN_KEY, runNow } from './keys';
import { isDark, switchTheme } from './theme';

export function Header() {
  const image = store.image.value;
  return (
    <header class="bar">
      {link.isEmbed ? (
        <span class="image-name">{image?.title ?? ''}</span>
      ) : (
        <>
          <a class="brand" href="/" aria-label="Program Explorer, start">
            <img src="/icon.svg" alt="" width="24" height="24" />
            <span class="brand-name">Program Explorer</span>
          </a>
          <button
            type="button"
            class="image-button"
            aria-haspopup="dialog"
            aria-label={`Image: ${image?.title ?? 'none'}. Choose another`}
            onClick={() => (dialog.value = { kind: 'images' })}
          >
            <span class="image-title">{image?.title ?? (store.imageReference.value || 'Choose an image')}</span>
            <Icon name="chevron" />
          </button>
          <Examples />
        </>
      )}
      <span class="gap" />
      {!link.isEmbed && (
        <>
          <label class="auto" title="Run a moment after each change">
            <input type="checkbox" checked={runner.autoRun.value} onChange={(event) => (runner.autoRun.value = event.currentTarget.checked)} />
            <span>Auto-run</span>
          </label>
          <button type="button" class="quiet" onClick={() => (dialog.value = { kind: 'share' })} disabled={!image}>
            <Icon name="share" />
            <span class="wide-only">Share</span>
            <span class="unseen narrow-only">Share</span>
          </button>
          <button type="button" class="quiet square wide-only" aria-label="Keys" title="Keys" onClick={() => (dialog.value = { kind: 'keys' })}>
            <Icon name="keys" />
          </button>
          <button type="button" class="quiet square" aria-label={isDark() ? 'Light colours' : 'Dark colours'} title="Light or dark" onClick={switchTheme}>
            <Icon name="sun" />
          </button>
        </>
      )}
      {link.isEmbed && <OpenInPage />}
      <RunButton />
    </header>
  );
}

function RunButton() {
  const busy = runner.isBusy();
  if (busy) {
    return (
      <button type="button" class="run is-busy" onClick={() => runner.cancel()} title="Esc">
        <Icon name="stop" />
        <span>Cancel</span>
        <kbd>Esc</kbd>
      </button>
    );
  }
  return (
    <button type="button" class="run" onClick={() => runNow()} disabled={!store.image.value} title="Run (Shift: run even if the result is known)">
      <Icon name="play" />
      <span>Run</span>
      <kbd>{RUN_KEY}</kbd>
    </button>
  );
}

function OpenInPage() {
  const open = async () => {
    const { full } = await link.makeLinks();
    window.open(full, '_blank', 'noopener');
  };
  return <button type="button" class="quiet" onClick={() => void open()}>Open<span class="wide-only"> in Program Explorer</span></button>;
}

export function Examples() {
  const image = store.image.value;
  const examples = image?.playground?.examples ?? [];
  if (!image || examples.length === 0) return null;
  return (
    <label class="examples">
      <span class="unseen">Examples</span>
      <select
        value=""
        onChange={(event) => {
          const example = examples[Number(event.currentTarget.value)];
          event.currentTarget.value = '';
          if (example) store.loadExample(image, example);
        }}
      >
        <option value="" disabled hidden>Examples</option>
        {examples.map((example, at) => <option key={example.title} value={at}>{example.title}</option>)}
      </select>
    </label>
  );
}
