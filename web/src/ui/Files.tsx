// Input files: tabs, and an editor for the one that is chosen. Standard input is the last tab.

import { useSignalEffect } from '@preact/signals';
import type { EditorState } from '@codemirror/state';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as store from '../app/store';
import type { EditFile } from '../app/store';
import { sizeInWords, type Bytes } from '../core/bytes';
import { INPUT_BYTES_MAX } from '../core/archive';
import { Editor } from '../editor/editor';
import { dialog, say } from './dialogs';
import { HexView } from './HexView';
import { Icon } from './Icon';

export function Files() {
  const [dragged, setDragged] = useState(0);
  const drop = async (event: DragEvent) => {
    event.preventDefault();
    setDragged(0);
    if (event.dataTransfer) await upload(await filesOf(event.dataTransfer));
  };
  return (
    <div
      class="files"
      data-drop={dragged > 0 ? 'yes' : 'no'}
      onDragEnter={(event) => {
        event.preventDefault();
        setDragged((n) => n + 1);
      }}
      onDragLeave={() => setDragged((n) => n - 1)}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => void drop(event)}
    >
      <Tabs />
      <Body />
      <p class="drop-hint" aria-hidden="true">Drop files here</p>
    </div>
  );
}

function Tabs() {
  const picker = useRef<HTMLInputElement>(null);
  const paths = [...store.files.value.map((file) => file.path), store.STDIN];
  const active = store.active.value;
  const keys = (event: KeyboardEvent, path: string) => {
    const at = paths.indexOf(path);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: paths.length - 1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      const to = paths[(next + paths.length) % paths.length]!;
      store.active.value = to;
      document.getElementById(tabId(to))?.focus();
    } else if (event.key === 'F2' && path !== store.STDIN) {
      event.preventDefault();
      dialog.value = { kind: 'name', path };
    } else if (event.key === 'Delete' && path !== store.STDIN) {
      event.preventDefault();
      remove(path);
    }
  };
  return (
    <div class="tabs">
      <div class="tablist" role="tablist" aria-label="Files">
        {paths.map((path) => (
          <button
            key={path}
            type="button"
            role="tab"
            class={path === store.STDIN ? 'tab tab-stdin' : 'tab'}
            id={tabId(path)}
            aria-selected={path === active}
            aria-controls="file-body"
            tabIndex={path === active ? 0 : -1}
            title={path === store.STDIN ? 'Standard input of the program' : `${path} (double click or F2: rename, Delete: delete)`}
            onClick={() => (store.active.value = path)}
            onDblClick={() => path !== store.STDIN && (dialog.value = { kind: 'name', path })}
            onKeyDown={(event) => keys(event, path)}
          >
            {path === store.STDIN ? 'stdin' : path}
            {path === store.STDIN && store.stdin.value.text !== '' && <span class="dot" aria-label="not empty" role="img" />}
          </button>
        ))}
      </div>
      <div class="tab-tools">
        {active !== store.STDIN && (
          <>
            <button type="button" class="quiet square" aria-label={`Rename ${active}`} title="Rename (F2)" onClick={() => (dialog.value = { kind: 'name', path: active })}><Icon name="edit" /></button>
            <button type="button" class="quiet square" aria-label={`Delete ${active}`} title="Delete" onClick={() => remove(active)}><Icon name="close" /></button>
          </>
        )}
        <button type="button" class="quiet square" aria-label="New file" title="New file" onClick={() => (dialog.value = { kind: 'name', path: null })}><Icon name="plus" /></button>
        <button type="button" class="quiet square" aria-label="Upload files" title="Upload files (or drop them here)" onClick={() => picker.current?.click()}><Icon name="upload" /></button>
        <input
          ref={picker} type="file" multiple hidden aria-hidden="true" tabIndex={-1} id="upload"
          onChange={(event) => {
            const chosen = [...(event.currentTarget.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
            event.currentTarget.value = '';
            void upload(chosen);
          }}
        />
      </div>
    </div>
  );
}

const tabId = (path: string): string => `tab-${path === store.STDIN ? 'stdin' : encodeURIComponent(path)}`;

function remove(path: string): void {
  const file = store.files.value.find((each) => each.path === path);
  store.removeFile(path);
  if (file) say(`${path} is deleted.`);
  document.getElementById(tabId(store.active.value))?.focus();
}

function Body() {
  const file = store.active.value === store.STDIN ? store.stdin.value : store.files.value.find((each) => each.path === store.active.value);
  const isText = file ? file.text !== null : false;
  return (
    <div class="file-body" id="file-body" role="tabpanel" aria-labelledby={tabId(store.active.value)}>
      <TextBody shown={isText} />
      {file && !isText && (
        <div class="binary">
          <p class="binary-head">
            Binary, {sizeInWords(file.data.length)}. It is sent as it is; upload it again to replace it.
          </p>
          <HexView data={file.data} />
        </div>
      )}
    </div>
  );
}

/** One editor for all files; each keeps its own history, cursor and scroll. */
function TextBody({ shown }: { shown: boolean }) {
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  useEffect(() => () => editor.current?.destroy(), []);
  const kept = useRef({ states: new Map<string, EditorState>(), epoch: -1, path: '' });
  useSignalEffect(() => {
    const path = store.active.value;
    const epoch = store.epoch.value;
    const memory = kept.current;
    if (!host.current) return;
    editor.current ??= new Editor(host.current);
    if (memory.epoch === epoch && memory.path === path) return;
    if (memory.epoch === epoch && memory.path) memory.states.set(memory.path, editor.current.state);
    if (memory.epoch !== epoch) memory.states.clear();
    memory.epoch = epoch;
    memory.path = path;
    const file = (path === store.STDIN ? store.stdin : { peek: () => store.files.peek().find((each) => each.path === path) }).peek();
    if (!file || file.text === null) return;
    const label = path === store.STDIN ? 'Standard input' : `Contents of ${path}`;
    const hint = path === store.STDIN ? 'What the program reads from standard input' : '';
    const state = memory.states.get(path) ?? editor.current.fresh(path, file.text, { label, hint, onChange: (text) => store.setText(store.active.peek(), text) });
    editor.current.show(path, state);
  });
  return <div class="editor" ref={host} hidden={!shown} />;
}

interface Chosen {
  path: string;
  file: File;
}

export async function upload(chosen: Chosen[]): Promise<void> {
  const total = chosen.reduce((sum, { file }) => sum + file.size, 0);
  if (total > INPUT_BYTES_MAX) {
    say(`Too large: ${sizeInWords(total)}. All files together may have ${sizeInWords(INPUT_BYTES_MAX)}.`);
    return;
  }
  const added: EditFile[] = [];
  for (const { path, file } of chosen) {
    const data: Bytes = new Uint8Array(await file.arrayBuffer());
    added.push(store.editFile(path, data, data[0] === 0x23 && data[1] === 0x21));
  }
  const why = store.addFiles(added);
  say(why ?? (added.length === 1 ? `${added[0]!.path} is added.` : `${added.length} files are added.`));
}

const DROPPED_MAX = 2000;

/** Files that were dropped, with those in folders. */
async function filesOf(transfer: DataTransfer): Promise<Chosen[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry != null);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ path: file.name, file }));
  const found: Chosen[] = [];
  const visit = async (entry: FileSystemEntry, prefix: string): Promise<void> => {
    if (found.length >= DROPPED_MAX) return;
    if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      found.push({ path: prefix + entry.name, file });
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (part.length === 0) return;
      for (const each of part) await visit(each, `${prefix}${entry.name}/`);
    }
  };
  for (const entry of entries) await visit(entry, '');
  return found;
}
