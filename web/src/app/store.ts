// What is on the page: every piece of state that more than one part of it looks at. Parts read
// signals and call the functions here; nobody else writes.

import { batch, computed, signal } from '@preact/signals';
import { fromUtf8, looksLikeText, toUtf8, type Bytes } from '../core/bytes';
import { findImage, referenceTo, type Catalogue, type Example, type FileContent, type Image } from '../core/catalogue';
import type { InputFile, Limits, RunConfig } from '../core/job';
import { badPath } from '../core/path';
import { defaultValues, expand, Flaw, withDefaults, type Expansion, type Values } from '../core/playground';
import { bytesOf, type State } from '../core/state';

export interface EditFile {
  path: string;
  /** What is edited; null if it is not text. */
  text: string | null;
  data: Bytes;
  executable: boolean;
}

/** The tab of standard input: a name that no file can have. */
export const STDIN = '\0stdin';
export const WALL_MS_DEFAULT = 10_000;

export const catalogue = signal<Catalogue | null>(null);
export const imageReference = signal('');
export const arch = signal<string | null>(null);
export const files = signal<EditFile[]>([]);
/** Folders with nothing in them, as a link may have. */
export const directories = signal<string[]>([]);
export const stdin = signal<EditFile>({ path: STDIN, text: '', data: new Uint8Array(0), executable: false });
export const active = signal<string>(STDIN);
export const values = signal<Values>({});
/** The template of the command: the image's, or that of an example. */
export const template = signal<string[] | null>(null);
/** Words written by hand; null: those of the form. */
export const byHand = signal<string[] | null>(null);
export const outputs = signal<string[]>([]);
export const limits = signal<Limits>({});
/** Rises when files are replaced from outside of the editor. */
export const epoch = signal(0);

export const image = computed<Image | null>(() =>
  catalogue.value && imageReference.value ? findImage(catalogue.value, imageReference.value) : null,
);
export const playground = computed(() => image.value?.playground ?? null);
export const platform = computed(
  () => image.value?.platforms.find((each) => !arch.value || each.arch === arch.value) ?? null,
);

/** What the form makes of its values, or what is wrong with them. */
const expanded = computed<Expansion | Flaw>(() => {
  const form = playground.value;
  const wanted = template.value ?? form?.command ?? [];
  try {
    const { args, env } = form ? expand(form, values.value, wanted) : { args: wanted, env: {} };
    // No template is what the image does by itself.
    return { args: wanted.length > 0 ? args : (platform.value?.config.cmd ?? []), env };
  } catch (error) {
    if (error instanceof Flaw) return error;
    throw error;
  }
});
export const formFlaw = computed(() => (expanded.value instanceof Flaw ? expanded.value : null));
let lastForm: Expansion = { args: [], env: {} };
/** The command of the form, whatever was written by hand; the last good one while a value is wrong. */
export const formCommand = computed<Expansion>(() => {
  if (!(expanded.value instanceof Flaw)) lastForm = expanded.value;
  return lastForm;
});
export const command = computed(() => byHand.value ?? formCommand.value.args);
/** What the image puts before every command. */
export const entrypoint = computed(() => platform.value?.config.entrypoint ?? []);
export const wallMs = computed(() => limits.value.wall_ms ?? playground.value?.wall_ms ?? WALL_MS_DEFAULT);

export const bytesOfFile = (file: EditFile): Bytes => (file.text === null ? file.data : toUtf8(file.text));

export const inputFiles = (): InputFile[] =>
  files.value.map((file) => ({ path: file.path, data: bytesOfFile(file), executable: file.executable }));

/** What is asked of the server; every default that a deployment may set is spelled out. */
export function configOf(reference: string, args: string[], env: Values): RunConfig {
  return {
    image: reference,
    args,
    env,
    outputs: outputs.value,
    limits: { ...limits.value, wall_ms: wallMs.value },
    requires: arch.value ? { arch: arch.value } : {},
  };
}

export function editFile(path: string, data: Bytes, executable: boolean): EditFile {
  const text = looksLikeText(data) ? fromUtf8(data) : null;
  return { path, text, data, executable };
}

/** Takes a catalogue from the server; what its authors left out is filled in. */
export function setCatalogue(known: Catalogue): void {
  const images = known.images.map((each) => ({ ...each, playground: each.playground ? withDefaults(each.playground) : null }));
  catalogue.value = { ...known, images };
}

export function setText(path: string, text: string): void {
  if (path === STDIN) stdin.value = { ...stdin.value, text };
  else files.value = files.value.map((file) => (file.path === path ? { ...file, text } : file));
}

/** Adds files, in place of those with the same path. Says what was wrong, or null. */
export function addFiles(added: EditFile[]): string | null {
  for (const { path } of added) {
    const why = nameProblem(path, null);
    if (why && !files.value.some((file) => file.path === path)) return `${path || 'The name'}: ${why}`;
  }
  const names = new Set(added.map((file) => file.path));
  batch(() => {
    files.value = [...files.value.filter((file) => !names.has(file.path)), ...added];
    if (added[0]) active.value = added[0].path;
    epoch.value++;
  });
  return null;
}

/** Why a file may not be called so, or null. `self` is its present name. */
export function nameProblem(path: string, self: string | null): string | null {
  const why = badPath(path);
  if (why) return why;
  for (const file of files.value) {
    if (file.path === self) continue;
    if (file.path === path) return 'there is a file of this name';
    if (file.path.startsWith(`${path}/`) || path.startsWith(`${file.path}/`)) return `\`${file.path}\` is in the way`;
  }
  return null;
}

export function renameFile(from: string, to: string): void {
  batch(() => {
    files.value = files.value.map((file) => (file.path === from ? { ...file, path: to } : file));
    if (active.value === from) active.value = to;
    // The form's file keeps meaning the same file.
    for (const field of playground.value?.fields ?? []) {
      const value = values.value[field.name] ?? (field.kind === 'file' ? field.default : null);
      if (field.kind === 'file' && value === from) values.value = { ...values.value, [field.name]: to };
    }
    epoch.value++;
  });
}

export function removeFile(path: string): void {
  batch(() => {
    const at = files.value.findIndex((file) => file.path === path);
    files.value = files.value.filter((file) => file.path !== path);
    if (active.value === path) active.value = files.value[Math.max(0, at - 1)]?.path ?? STDIN;
    epoch.value++;
  });
}

export function setExecutable(path: string, executable: boolean): void {
  files.value = files.value.map((file) => (file.path === path ? { ...file, executable } : file));
}

/** Takes another image. Files stay; form, command and limits are the new image's. */
export function pickImage(next: Image): void {
  const known = catalogue.value;
  if (!known) return;
  batch(() => {
    imageReference.value = referenceTo(known, next);
    arch.value = null;
    values.value = next.playground ? defaultValues(next.playground) : {};
    template.value = null;
    byHand.value = null;
    limits.value = {};
    outputs.value = [];
    const first = next.playground?.examples[0];
    if (files.value.length === 0 && first) loadExample(next, first);
    else takeFittingFile(next);
  });
}

/** A form's file is one that is there, if there is one of a type that it takes. */
function takeFittingFile(next: Image): void {
  for (const field of next.playground?.fields ?? []) {
    if (field.kind !== 'file' || files.value.some((file) => file.path === field.default)) continue;
    const only = files.value[0];
    if (files.value.length === 1 && only) values.value = { ...values.value, [field.name]: only.path };
  }
}

export function loadExample(of: Image, example: Example): void {
  const isFolder = (content: FileContent) => typeof content === 'object' && 'directory' in content;
  const emptyFolders = Object.entries(example.files).filter(([, content]) => isFolder(content)).map(([path]) => path);
  const loaded = Object.entries(example.files).filter(([, content]) => !isFolder(content)).map(([path, content]) => {
    const { data, executable } = bytesOf(content, path);
    return editFile(path, data, executable);
  });
  batch(() => {
    files.value = loaded;
    directories.value = emptyFolders;
    stdin.value = editFile(STDIN, bytesOf(example.stdin ?? '', 'standard input').data, false);
    values.value = { ...(of.playground ? defaultValues(of.playground) : {}), ...(example.values ?? {}) };
    template.value = example.command ?? null;
    byHand.value = null;
    active.value = loaded[0]?.path ?? STDIN;
    epoch.value++;
  });
}

export function currentState(job: string | null): State {
  return {
    image: imageReference.value,
    files: inputFiles(),
    directories: directories.value,
    stdin: bytesOfFile(stdin.value),
    values: values.value,
    // An example's template is no part of a link, so its words are.
    command: byHand.value ?? (template.value ? formCommand.value.args : null),
    outputs: outputs.value,
    limits: limits.value,
    job,
  };
}

export function restoreState(state: State): void {
  batch(() => {
    imageReference.value = state.image;
    arch.value = null;
    files.value = state.files.map((file) => editFile(file.path, file.data, file.executable));
    directories.value = state.directories;
    stdin.value = editFile(STDIN, state.stdin, false);
    values.value = state.values;
    template.value = null;
    byHand.value = state.command;
    outputs.value = state.outputs;
    limits.value = state.limits;
    active.value = files.value[0]?.path ?? STDIN;
    epoch.value++;
  });
}
