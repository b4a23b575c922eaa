// Names a new file, or renames one.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import * as store from '../app/store';
import { close } from './dialogs';
import { Modal } from './Modal';

export function NameDialog({ path }: { path: string | null }) {
  const [name, setName] = useState(path ?? '');
  const input = useRef<HTMLInputElement>(null);
  const [isExecutable, setExecutable] = useState(store.files.value.find((file) => file.path === path)?.executable ?? false);
  const [tried, setTried] = useState(false);
  useLayoutEffect(() => {
    const dot = name.lastIndexOf('.');
    input.current?.setSelectionRange(name.lastIndexOf('/') + 1, dot > 0 ? dot : name.length);
  }, []);
  const why = store.nameProblem(name, path);
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (why) return;
    if (path === null) store.addFiles([store.editFile(name, new Uint8Array(0), isExecutable)]);
    else {
      if (name !== path) store.renameFile(path, name);
      store.setExecutable(name, isExecutable);
    }
    close();
  };
  return (
    <Modal title={path === null ? 'New file' : 'Rename file'} initial={input}>
      <form class="form" onSubmit={submit}>
        <label for="file-name">Name, with folders if you like</label>
        <input id="file-name" ref={input} type="text" value={name} spellcheck={false} autocapitalize="off" placeholder="src/main.c" aria-invalid={tried && why !== null} aria-describedby="file-name-why"
          onInput={(event) => setName(event.currentTarget.value)} />
        <p class="form-why" id="file-name-why">{(tried || name !== '') && why ? `This will not do: ${why}.` : '\u00a0'}</p>
        <label class="check"><input type="checkbox" checked={isExecutable} onChange={(event) => setExecutable(event.currentTarget.checked)} /> May be executed</label>
        <div class="form-end">
          <button type="button" class="quiet" onClick={close}>Cancel</button>
          <button type="submit" class="primary">{path === null ? 'Create' : 'Rename'}</button>
        </div>
      </form>
    </Modal>
  );
}
