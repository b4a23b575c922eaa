// The command: always in sight, written as a line, and meant as words. What the line means is
// shown while it is edited.

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import * as store from '../app/store';
import { joinWords, shellLike, splitWords } from '../core/words';
import { Icon } from './Icon';

/** What is being typed; null while nobody types. */
const typed = signal<string | null>(null);
const hasFocus = signal(false);

export function CommandBar() {
  const area = useRef<HTMLTextAreaElement>(null);
  const words = store.command.value;
  const line = typed.value ?? joinWords(words);
  const open = typed.value === null ? null : splitWords(typed.value).open;
  const shell = shellLike(words);
  const isOwn = store.byHand.value !== null;
  useEffect(() => {
    // Grows with its text where browsers cannot do that by themselves.
    const it = area.current;
    if (!it) return;
    it.style.height = 'auto';
    it.style.height = `${Math.min(it.scrollHeight, 120)}px`;
  }, [line]);
  const reference = store.imageReference.value.split('@')[0];
  return (
    <div class="command">
      <label class="prompt" for="command" title="The command, as words: there is no shell unless the command is one">
        <span class="unseen">Command for </span>
        {reference || '…'}
        <span aria-hidden="true"> ›</span>
      </label>
      {store.entrypoint.value.length > 0 && (
        <span class="entrypoint" title="The image puts this before every command">{joinWords(store.entrypoint.value)}</span>
      )}
      <div class="command-field">
        <textarea
          id="command"
          ref={area}
          rows={1}
          spellcheck={false}
          autocapitalize="off"
          autocomplete="off"
          aria-describedby="command-words"
          placeholder="program and arguments"
          value={line}
          onFocus={() => (hasFocus.value = true)}
          onBlur={() => {
            hasFocus.value = false;
            typed.value = null;
          }}
          onInput={(event) => {
            typed.value = event.currentTarget.value;
            store.byHand.value = splitWords(event.currentTarget.value).words;
          }}
        />
        <div class="words" id="command-words" data-shown={hasFocus.value ? 'yes' : 'no'}>
          <span class="words-title">{words.length === 1 ? '1 word' : `${words.length} words`}</span>
          {words.slice(0, 200).map((word, at) => (
            <code key={at} class={word === '' ? 'word empty' : 'word'}>{word === '' ? 'empty' : word}</code>
          ))}
          {open && <span class="words-note">A {open === '"' ? 'double' : 'single'} quote is not closed.</span>}
          <span class="words-note">Quotes keep a word together. Nothing else has a meaning: no variables, pipes or patterns.</span>
        </div>
      </div>
      {shell !== null && (
        <button
          type="button"
          class="hint"
          title="There is no shell: this word is given to the program as it is"
          onClick={() => {
            store.byHand.value = ['sh', '-c', typed.value ?? words.join(' ')];
            typed.value = null;
          }}
        >
          <Icon name="warn" />
          No shell for <code>{shell}</code>: use sh -c
        </button>
      )}
      {isOwn && (store.playground.value || shell === null) && (
        <button
          type="button"
          class="quiet small"
          title="Forget what was written by hand"
          onMouseDown={(event) => event.preventDefault()}
          onClick={() => {
            typed.value = null;
            store.byHand.value = null;
          }}
        >
          {store.playground.value ? 'Use the form' : 'Reset'}
        </button>
      )}
    </div>
  );
}
