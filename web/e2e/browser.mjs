// A browser, and what a person does with the page in it.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { chromium } from 'playwright-core';

export const base = process.env.PE_WEB_E2E_BASE;
if (!base) throw new Error('run this by `npm run e2e`');

const images = fileURLToPath(new URL('../../docs/images/', import.meta.url));
let browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
after(() => browser?.close());

/** A page in a profile of its own. What a browser complains of fails the test when it is closed. */
export async function newPage(options = {}) {
  const { allow = [], ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...rest });
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('popup', (popup) => complaints.push(`popup: ${popup.url()}`));
  page.on('console', (message) => {
    const text = message.text();
    // A result that is not known is a 404, which browsers report as an error.
    if (message.type() === 'error' && !/status of (?:404|429|503)/.test(text) && !allow.some((each) => each.test(text))) complaints.push(`console: ${text}`);
  });
  return {
    page,
    close: async () => {
      await context.close();
      assert.deepEqual(complaints, []);
    },
  };
}

export async function open(page, path = '/') {
  await page.goto(base + path);
  await page.locator('.app[data-ready="yes"]').waitFor();
}

/** The address of a state, as `Share` would make it. */
export function linkOf(state) {
  const json = JSON.stringify({ v: 1, files: {}, stdin: '', values: {}, command: null, outputs: [], limits: { wall_ms: 90_000 }, job: null, ...state });
  return `/#s=${deflateRawSync(json).toString('base64url')}`;
}

/** Writes a file by hand, as a person would. */
export async function writeFile(page, path, text) {
  await page.getByRole('button', { name: 'New file' }).click();
  await page.getByLabel('Name, with folders if you like').fill(path);
  await page.getByRole('button', { name: 'Create' }).click();
  await edit(page, text);
}

export async function edit(page, text) {
  await page.locator('.editor .cm-content').click();
  await page.keyboard.press('Control+a');
  // What is inserted over coloured text at once, Chromium tries to colour by a style of its own.
  await page.keyboard.press('Delete');
  await page.keyboard.insertText(text);
}

export const generation = async (page) => Number(await page.locator('.result').getAttribute('data-generation'));

/** Waits for the result after the given one. */
export async function resultAfter(page, before, timeout = 100_000) {
  await page.waitForFunction((n) => Number(document.querySelector('.result')?.dataset.generation) > n, before, { timeout });
}

export async function run(page) {
  const before = await generation(page);
  await page.locator('button.run').click();
  await resultAfter(page, before);
}

export const status = (page) => page.locator('.status-title').textContent();
export const textOf = (page, stream) => page.locator(`.stream[data-name="${stream}"] .stream-body, .stream[data-name="${stream}"] .vrows`).innerText();
export const tab = (page, name) => page.getByRole('tab', { name }).click();

/** A picture for docs/images; only when asked for, so that tests do not change the tree. */
export async function picture(page, name) {
  if (!process.env.PE_WEB_PICTURES) return;
  mkdirSync(images, { recursive: true });
  await page.mouse.move(0, 0);
  // Hiding the caret would be a style of playwright's in the page, which the page's policy refuses.
  await page.screenshot({ path: `${images}${name}.png`, caret: 'initial' });
}
