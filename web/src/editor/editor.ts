// CodeMirror for the page. It lives in a shadow root: there its styles are adopted style sheets,
// which the page's policy allows, while in the document they would be style elements, which it
// refuses.

import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { bracketMatching, indentOnInput, indentUnit } from '@codemirror/language';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import { EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, placeholder } from '@codemirror/view';
import { languageOf } from './languages';
import { colours, theme } from './theme';

export interface EditorOptions {
  label: string;
  readOnly?: boolean;
  hint?: string;
  onChange?: (text: string) => void;
}

const language = new Compartment();
const searching = new Compartment();

/** Colours are worked out for files up to this size; beyond, typing would be felt. */
const COLOURED_CHARS_MAX = 500_000;

export class Editor {
  private readonly view: EditorView;
  private search: Extension = [];
  private shown = 0;

  constructor(host: HTMLElement) {
    const root = host.shadowRoot ?? host.attachShadow({ mode: 'open', delegatesFocus: true });
    this.view = new EditorView({ root });
    root.replaceChildren(this.view.dom);
    // Not needed before somebody searches, so it does not delay the first letter.
    const idle = window.requestIdleCallback ?? ((callback: () => void) => setTimeout(callback, 200));
    idle(() => void this.loadSearch());
  }

  private async loadSearch(): Promise<void> {
    const { search, searchKeymap, highlightSelectionMatches } = await import('@codemirror/search');
    this.search = [search({ top: true }), highlightSelectionMatches(), keymap.of(searchKeymap)];
    this.view.dispatch({ effects: searching.reconfigure(this.search) });
  }

  /** A new document of a file. */
  fresh(path: string, text: string, options: EditorOptions): EditorState {
    return EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        options.readOnly ? [EditorState.readOnly.of(true)] : [history(), highlightActiveLine(), highlightActiveLineGutter()],
        indentOnInput(),
        bracketMatching(),
        indentUnit.of(/\.(?:py|rs|go|java|c|cc|cpp|h|hpp)$/.test(path) ? '    ' : '  '),
        language.of([]),
        searching.of(this.search),
        keymap.of([...defaultKeymap.filter((binding) => binding.key !== 'Mod-Enter'), ...historyKeymap, indentWithTab]),
        EditorState.allowMultipleSelections.of(true),
        EditorView.contentAttributes.of({ 'aria-label': options.label, autocapitalize: 'off', spellcheck: 'false' }),
        options.hint ? placeholder(options.hint) : [],
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onChange?.(update.state.doc.toString());
        }),
        theme,
        colours,
      ],
    });
  }

  show(path: string, state: EditorState): void {
    const mine = ++this.shown;
    this.view.setState(state);
    this.view.dispatch({ effects: searching.reconfigure(this.search) });
    if (state.doc.length > COLOURED_CHARS_MAX) return;
    void languageOf(path)?.then((extension) => {
      // Another file may be shown by now.
      if (this.shown === mine) this.view.dispatch({ effects: language.reconfigure(extension) });
    });
  }

  get state(): EditorState {
    return this.view.state;
  }

  focus(): void {
    this.view.focus();
  }

  destroy(): void {
    this.view.destroy();
  }
}
