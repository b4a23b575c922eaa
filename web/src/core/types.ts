// What a file is, by its name and its first bytes, and so which viewer and which colours it gets.
// Names are guesses and bytes may lie: a viewer must stand anything.

export type Viewer =
  | 'text' | 'image' | 'svg' | 'html' | 'model' | 'audio' | 'video' | 'table' | 'pdf' | 'binary' | 'nothing';

const TYPES: Record<string, string> = {
  c: 'text/x-c', h: 'text/x-c', cc: 'text/x-c++', cpp: 'text/x-c++', cxx: 'text/x-c++', hpp: 'text/x-c++', hh: 'text/x-c++',
  py: 'text/x-python', rs: 'text/x-rust', go: 'text/x-go', java: 'text/x-java', js: 'text/javascript', mjs: 'text/javascript',
  ts: 'text/x-typescript', tsx: 'text/x-typescript', jsx: 'text/javascript', json: 'application/json', html: 'text/html',
  htm: 'text/html', css: 'text/css', xml: 'text/xml', svg: 'image/svg+xml', md: 'text/markdown', sql: 'text/x-sql',
  yaml: 'text/yaml', yml: 'text/yaml', toml: 'text/x-toml', sh: 'text/x-shellscript', bash: 'text/x-shellscript',
  lua: 'text/x-lua', rb: 'text/x-ruby', pl: 'text/x-perl', hs: 'text/x-haskell', ml: 'text/x-ocaml', r: 'text/x-r',
  jl: 'text/x-julia', swift: 'text/x-swift', kt: 'text/x-kotlin', scala: 'text/x-scala', clj: 'text/x-clojure',
  lisp: 'text/x-common-lisp', scm: 'text/x-scheme', erl: 'text/x-erlang', f90: 'text/x-fortran', pas: 'text/x-pascal',
  d: 'text/x-d', cs: 'text/x-csharp', diff: 'text/x-diff', patch: 'text/x-diff', s: 'text/x-asm', asm: 'text/x-asm',
  dockerfile: 'text/x-dockerfile', makefile: 'text/x-makefile', mk: 'text/x-makefile', cmake: 'text/x-cmake', tex: 'text/x-tex',
  dot: 'text/vnd.graphviz', gv: 'text/vnd.graphviz', proto: 'text/x-protobuf', ini: 'text/x-ini', txt: 'text/plain',
  log: 'text/plain', csv: 'text/csv', tsv: 'text/tab-separated-values',
  png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp', avif: 'image/avif', bmp: 'image/bmp',
  stl: 'model/stl', obj: 'model/obj', gltf: 'model/gltf+json', glb: 'model/gltf-binary', pdf: 'application/pdf',
  wav: 'audio/wav', mp3: 'audio/mpeg', ogg: 'audio/ogg', flac: 'audio/flac', m4a: 'audio/mp4', opus: 'audio/ogg',
  mp4: 'video/mp4', webm: 'video/webm', wasm: 'application/wasm', zip: 'application/zip', gz: 'application/gzip', tar: 'application/x-tar',
};

export function typeOf(path: string): string {
  const name = path.split('/').at(-1)!.toLowerCase();
  const extension = name.includes('.') ? name.split('.').at(-1)! : name;
  return TYPES[extension] ?? 'application/octet-stream';
}

const IMAGE_MAGIC: [string, number[]][] = [
  ['image/png', [0x89, 0x50, 0x4e, 0x47]], ['image/jpeg', [0xff, 0xd8, 0xff]], ['image/gif', [0x47, 0x49, 0x46, 0x38]],
  ['image/bmp', [0x42, 0x4d]], ['image/webp', [0x52, 0x49, 0x46, 0x46]], ['image/avif', [0, 0, 0]],
];

/** Whether bytes begin as an image of that type must. */
export const beginsAs = (type: string, data: Uint8Array): boolean => {
  const magic = IMAGE_MAGIC.find(([name]) => name === type)?.[1];
  return magic !== undefined && magic.every((byte, at) => data[at] === byte);
};

export function viewerOf(path: string, data: Uint8Array, isText: boolean): Viewer {
  if (data.length === 0) return 'nothing';
  const type = typeOf(path);
  if (type === 'image/svg+xml') return 'svg';
  if (type === 'text/html') return 'html';
  if (type.startsWith('image/')) return beginsAs(type, data) ? 'image' : isText ? 'text' : 'binary';
  if (type.startsWith('model/')) return 'model';
  if (type.startsWith('audio/')) return 'audio';
  if (type.startsWith('video/')) return 'video';
  if (type === 'text/csv' || type === 'text/tab-separated-values') return isText ? 'table' : 'binary';
  if (type === 'application/pdf') return 'pdf';
  return isText ? 'text' : 'binary';
}

/** `image/*` and `text/x-c`: whether a type is meant by a pattern of an image's metadata. */
export const typeMatches = (pattern: string, type: string): boolean =>
  pattern === type || pattern === '*/*' || (pattern.endsWith('/*') && type.startsWith(pattern.slice(0, -1)));
