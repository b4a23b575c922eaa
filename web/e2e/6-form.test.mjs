// The form that an image's author describes: from its values to the command, and back to a cell.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { generation, newPage, open, picture, resultAfter, run, status, tab, textOf } from './browser.mjs';

const playground = JSON.parse(await readFile(new URL('./fixtures/playground.json', import.meta.url), 'utf8'));

/** The catalogue of the server, in which gcc has the form of this test. */
async function withForm(page) {
  await page.route('**/api/v1/images', async (route) => {
    const response = await route.fetch();
    const catalogue = await response.json();
    const gcc = catalogue.images.find((image) => image.name === 'gcc');
    gcc.playground = playground;
    catalogue.images = [gcc, ...catalogue.images.filter((image) => image !== gcc).map((image) => ({ ...image, playground: null }))];
    await route.fulfill({ response, json: catalogue });
  });
}

test('a form becomes a command, examples load with a click, and conflicts cannot be chosen', async () => {
  const { page, close } = await newPage();
  await withForm(page);
  await open(page);
  const command = page.locator('#command');
  assert.match(await command.inputValue(), /sh -O2 -Wall -Wextra main\.c$/);
  assert.match(await page.locator('.editor .cm-content').innerText(), /hello, %s/);
  await page.getByLabel('Define').fill('NAME="Ada" X');
  await page.getByLabel('Optimise').selectOption('fast');
  assert.equal(await page.getByLabel('Exact floats').isDisabled(), true);
  assert.match(await command.inputValue(), /-Ofast -Wall -Wextra '-DNAME="Ada"' -DX main\.c$/);
  await page.getByLabel('Warnings').uncheck();
  await page.getByLabel('Threads').fill('9');
  await page.getByLabel('Threads').press('Tab');
  assert.equal(await page.getByLabel('Threads').evaluate((it) => it.validity.valid), false);
  await page.getByLabel('Threads').fill('4');
  await run(page);
  assert.equal(await status(page), 'Finished');
  assert.match(await textOf(page, 'stdout'), /hello, Ada \(1\)/);
  await picture(page, 'page-form');

  // By hand, and back.
  await command.fill('gcc --version');
  assert.match(await page.locator('.fields-note').innerText(), /no effect/);
  await page.getByRole('button', { name: 'Use the form' }).click();
  assert.match(await command.inputValue(), /-Ofast/);

  await page.locator('.bar .examples select').selectOption({ label: 'Words of standard input' });
  assert.match(await command.inputValue(), /sh -O0 -Wall -Wextra count\.c$/);
  await run(page);
  assert.match(await textOf(page, 'stdout'), /3 words/);

  // The file of the form follows a new name.
  await page.getByRole('tab', { name: 'count.c' }).press('F2');
  await page.getByLabel('Name, with folders if you like').fill('src/words.c');
  await page.keyboard.press('Enter');
  assert.match(await command.inputValue(), /src\/words\.c$/);

  await tab(page, 'Matrix');
  await page.getByLabel('Over').selectOption('optimise');
  await page.getByRole('button', { name: 'Run 3 cells' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.cell-button:not(:disabled)').length === 3, null, { timeout: 90_000 });
  assert.deepEqual(await page.locator('.cell-note').allTextContents(), ['the first', 'a.out differs ◂ first', 'a.out differs']);
  await close();
});

test('images are found by what they take, and a value that will not do is said before it is sent', async () => {
  const { page, close } = await newPage();
  await withForm(page);
  await open(page);
  await page.keyboard.press('Control+k');
  await page.getByRole('dialog').getByRole('combobox').fill('.c');
  assert.equal(await page.locator('.images li').count(), 1);
  await page.getByRole('dialog').getByRole('combobox').fill('.py');
  assert.equal(await page.locator('.images li').count(), 0);
  await page.getByRole('dialog').getByRole('combobox').fill('');
  await page.getByRole('button', { name: 'compiler' }).click();
  assert.equal(await page.locator('.images li').count(), 1);
  await picture(page, 'page-images');
  await page.keyboard.press('Escape');
  await page.getByLabel('Define').fill('x'.repeat(201));
  assert.match(await page.locator('.fields-flaw').innerText(), /at most 200 bytes/);
  const before = await generation(page);
  await page.locator('button.run').click();
  assert.match(await page.locator('.problem').innerText(), /value that will not do \(defines\)/);
  await page.getByLabel('Define').fill('');
  await page.locator('button.run').click();
  await resultAfter(page, before);
  await close();
});
