// Colours by file type. Each language is loaded when a file of it is first opened.

import { StreamLanguage, type StreamParser } from '@codemirror/language';
import type { Extension } from '@codemirror/state';
import { typeOf } from '../core/types';

const legacy = async (parser: Promise<StreamParser<unknown>>): Promise<Extension> => StreamLanguage.define(await parser);

const LOADERS: Record<string, () => Promise<Extension>> = {
  'text/x-c': async () => (await import('@codemirror/lang-cpp')).cpp(),
  'text/x-c++': async () => (await import('@codemirror/lang-cpp')).cpp(),
  'text/x-python': async () => (await import('@codemirror/lang-python')).python(),
  'text/x-rust': async () => (await import('@codemirror/lang-rust')).rust(),
  'text/x-go': async () => (await import('@codemirror/lang-go')).go(),
  'text/x-java': async () => (await import('@codemirror/lang-java')).java(),
  'text/javascript': async () => (await import('@codemirror/lang-javascript')).javascript({ jsx: true }),
  'text/x-typescript': async () => (await import('@codemirror/lang-javascript')).javascript({ typescript: true, jsx: true }),
  'application/json': async () => (await import('@codemirror/lang-json')).json(),
  'text/html': async () => (await import('@codemirror/lang-html')).html(),
  'text/css': async () => (await import('@codemirror/lang-css')).css(),
  'text/xml': async () => (await import('@codemirror/lang-xml')).xml(),
  'image/svg+xml': async () => (await import('@codemirror/lang-xml')).xml(),
  'text/markdown': async () => (await import('@codemirror/lang-markdown')).markdown(),
  'text/x-sql': async () => (await import('@codemirror/lang-sql')).sql(),
  'text/yaml': async () => (await import('@codemirror/lang-yaml')).yaml(),
  'text/x-toml': () => legacy(import('@codemirror/legacy-modes/mode/toml').then((mode) => mode.toml)),
  'text/x-shellscript': () => legacy(import('@codemirror/legacy-modes/mode/shell').then((mode) => mode.shell)),
  'text/x-lua': () => legacy(import('@codemirror/legacy-modes/mode/lua').then((mode) => mode.lua)),
  'text/x-ruby': () => legacy(import('@codemirror/legacy-modes/mode/ruby').then((mode) => mode.ruby)),
  'text/x-perl': () => legacy(import('@codemirror/legacy-modes/mode/perl').then((mode) => mode.perl)),
  'text/x-haskell': () => legacy(import('@codemirror/legacy-modes/mode/haskell').then((mode) => mode.haskell)),
  'text/x-ocaml': () => legacy(import('@codemirror/legacy-modes/mode/mllike').then((mode) => mode.oCaml)),
  'text/x-r': () => legacy(import('@codemirror/legacy-modes/mode/r').then((mode) => mode.r)),
  'text/x-julia': () => legacy(import('@codemirror/legacy-modes/mode/julia').then((mode) => mode.julia)),
  'text/x-swift': () => legacy(import('@codemirror/legacy-modes/mode/swift').then((mode) => mode.swift)),
  'text/x-kotlin': () => legacy(import('@codemirror/legacy-modes/mode/clike').then((mode) => mode.kotlin)),
  'text/x-scala': () => legacy(import('@codemirror/legacy-modes/mode/clike').then((mode) => mode.scala)),
  'text/x-csharp': () => legacy(import('@codemirror/legacy-modes/mode/clike').then((mode) => mode.csharp)),
  'text/x-clojure': () => legacy(import('@codemirror/legacy-modes/mode/clojure').then((mode) => mode.clojure)),
  'text/x-common-lisp': () => legacy(import('@codemirror/legacy-modes/mode/commonlisp').then((mode) => mode.commonLisp)),
  'text/x-scheme': () => legacy(import('@codemirror/legacy-modes/mode/scheme').then((mode) => mode.scheme)),
  'text/x-erlang': () => legacy(import('@codemirror/legacy-modes/mode/erlang').then((mode) => mode.erlang)),
  'text/x-fortran': () => legacy(import('@codemirror/legacy-modes/mode/fortran').then((mode) => mode.fortran)),
  'text/x-pascal': () => legacy(import('@codemirror/legacy-modes/mode/pascal').then((mode) => mode.pascal)),
  'text/x-d': () => legacy(import('@codemirror/legacy-modes/mode/d').then((mode) => mode.d)),
  'text/x-diff': () => legacy(import('@codemirror/legacy-modes/mode/diff').then((mode) => mode.diff)),
  'text/x-asm': () => legacy(import('@codemirror/legacy-modes/mode/gas').then((mode) => mode.gas)),
  'text/x-dockerfile': () => legacy(import('@codemirror/legacy-modes/mode/dockerfile').then((mode) => mode.dockerFile)),
  'text/x-cmake': () => legacy(import('@codemirror/legacy-modes/mode/cmake').then((mode) => mode.cmake)),
  'text/x-tex': () => legacy(import('@codemirror/legacy-modes/mode/stex').then((mode) => mode.stex)),
  'text/x-protobuf': () => legacy(import('@codemirror/legacy-modes/mode/protobuf').then((mode) => mode.protobuf)),
  'text/x-ini': () => legacy(import('@codemirror/legacy-modes/mode/properties').then((mode) => mode.properties)),
};

const loaded = new Map<string, Promise<Extension>>();

/** The language of a file; nothing if there is none or it cannot be loaded now. */
export function languageOf(path: string): Promise<Extension> | null {
  const type = typeOf(path);
  const load = LOADERS[type];
  if (!load) return null;
  let language = loaded.get(type);
  if (!language) {
    language = load().catch(() => {
      loaded.delete(type);
      return [];
    });
    loaded.set(type, language);
  }
  return language;
}
