// What came back, each by its viewer.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { unzipSync } from 'fflate';
import { linkOf, newPage, open, picture, run } from './browser.mjs';

const MAKE = await readFile(new URL('./fixtures/outputs.py', import.meta.url), 'utf8');

test('pictures, models, sound, tables and documents are shown, each by its viewer', async () => {
  const { page, close } = await newPage({ allow: [/Executing inline script violates/, /GPU stall/] });
  await open(page, linkOf({ image: 'python', command: ['python3', 'make.py'], files: { 'make.py': MAKE } }));
  await run(page);
  const choose = (name) => page.locator('.outputs-list button', { hasText: name }).click();

  await choose('plot.png');
  await page.waitForFunction(() => document.querySelector('.picture img')?.naturalWidth === 320);
  await picture(page, 'page-picture');

  await choose('knot.stl');
  await page.locator('.sandbox-note', { hasText: /triangles/ }).waitFor();
  const frame = page.frameLocator('.sandbox iframe');
  assert.equal(await frame.locator('canvas').count(), 1);
  // Something is drawn: the middle is not the colour of the corner.
  const shot = await page.locator('.sandbox iframe').screenshot();
  assert.ok(shot.length > 4000, `a picture of ${shot.length} bytes`);
  await picture(page, 'page-model');

  await choose('cube.gltf');
  await page.locator('.sandbox-note', { hasText: /12 triangles|triangles/ }).waitFor();
  await choose('cube.obj');
  await page.locator('.sandbox-note', { hasText: /triangles/ }).waitFor();
  await choose('table.csv');
  assert.match(await page.locator('.table-head').innerText(), /name\s*value/);
  await choose('page.pdf');
  await page.locator('.sandbox-note', { hasText: '1 page' }).waitFor();
  assert.equal(await page.frameLocator('.sandbox iframe').locator('canvas').count(), 1);
  await choose('drawing.svg');
  await page.locator('.sandbox-note', { hasText: '×' }).waitFor();
  await choose('tone.wav');
  await page.waitForFunction(() => document.querySelector('audio')?.duration > 0.4);
  await choose('module.wasm');
  assert.match(await page.locator('.hex-sections').innerText(), /WebAssembly: type/);
  await choose('note.py');
  await page.locator('.text-view .cm-line').first().waitFor();
  await choose('broken.png');
  await page.locator('.viewer[data-viewer=text], .viewer .hex').waitFor();

  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'zip' }).click()]);
  const zip = unzipSync(await readFile(await download.path()));
  assert.ok(Object.keys(zip).length >= 10);
  assert.deepEqual([...zip['plot.png'].subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
  const [tar] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'tar' }).click()]);
  assert.match((await readFile(await tar.path())).toString('latin1'), /ustar/);
  await close();
});
