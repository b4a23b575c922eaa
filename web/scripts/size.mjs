// What a browser loads before anything is asked of it: index.html, its scripts and styles with all
// that they import statically, and the icon; as gzip would send it. Fails above the budget.

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BYTES_MAX = 200_000;
const dist = new URL('../dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('manifest.json', dist), 'utf8'));

const files = new Set(['index.html', 'icon.svg']);
const visit = (name) => {
  const { file, css = [], imports = [] } = manifest[name];
  if (files.has(file)) return;
  files.add(file);
  css.forEach((each) => files.add(each));
  imports.forEach(visit);
};
visit('index.html');

let total = 0;
for (const file of files) {
  const bytes = gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
  total += bytes;
  console.log(`${String(bytes).padStart(8)}  ${file}`);
}
console.log(`${String(total).padStart(8)}  first load, of at most ${BYTES_MAX}`);
if (total > BYTES_MAX) {
  console.error('The first load is over its budget: load something later, or leave it out.');
  process.exit(1);
}
