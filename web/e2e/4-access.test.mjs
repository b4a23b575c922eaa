// The page for those who see it otherwise: a small screen, a keyboard, a screen reader.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { linkOf, newPage, open, picture, resultAfter, run, status, tab, textOf } from './browser.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function findings(page) {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ['violations'] });
    return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).slice(0, 4).join(' | ')}`);
  });
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing serious, ${colorScheme}`, async () => {
    const { page, close } = await newPage({ colorScheme, permissions: ['clipboard-read', 'clipboard-write'] });
    await open(page, linkOf({ image: 'busybox', files: { 'a.txt': 'one\ntwo\n' }, command: ['sh', '-c', 'cat a.txt; printf "\\033[31mred \\033[32mgreen\\033[0m\\n"; echo oh >&2; cp a.txt /output/a.csv; exit 3'] }));
    const states = [];
    const check = async (name) => states.push(...(await findings(page)).map((each) => `${name}: ${each}`));
    await check('before a run');
    await run(page);
    await check('result');
    await tab(page, /^Files/);
    await check('files');
    await tab(page, 'Details');
    await check('details');
    await page.getByRole('button', { name: 'Pin' }).click();
    await tab(page, 'Compare');
    await check('compare');
    await tab(page, 'Matrix');
    await check('matrix');
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
    await check('images');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Share' }).click();
    await page.locator('#share-long-link').waitFor();
    await check('share');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'New file' }).click();
    await check('new file');
    assert.deepEqual(states, []);
    if (colorScheme === 'dark') {
      await page.keyboard.press('Escape');
      await tab(page, 'Output');
      await picture(page, 'page-dark');
    }
    await close();
  });
}

test('on a phone: pick, write, run and look, without scrolling sideways', async () => {
  const { page, close } = await newPage({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
  await open(page, linkOf({ image: 'gcc', files: { 'a.txt': 'x\n' }, command: ['sh', '-c', 'cat a.txt'] }));
  await page.locator('.image-button').tap();
  await page.getByRole('option', { name: /BusyBox/ }).tap();
  await page.locator('.editor .cm-content').tap();
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText('from a phone\n');
  await page.locator('#command').fill('cat a.txt');
  await page.locator('#wall').fill('90');
  await page.locator('button.run').tap();
  await resultAfter(page, 0);
  assert.match(await textOf(page, 'stdout'), /from a phone/);
  for (const pane of ['Code', 'Result']) {
    await page.getByRole('navigation', { name: 'Panes' }).getByRole('button', { name: pane }).tap();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  }
  await picture(page, 'page-phone');
  assert.deepEqual(await findings(page), []);
  await close();
});

test('with a keyboard only', async () => {
  const { page, close } = await newPage();
  await open(page, linkOf({ image: 'gcc', command: ['true'] }));
  const focus = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') || document.activeElement?.id || document.activeElement?.textContent?.trim() || '');
  const tabTo = async (wanted, key = 'Tab') => {
    const seen = [];
    for (let n = 0; n < 40; n++) {
      await page.keyboard.press(key);
      seen.push(await focus());
      if (wanted.test(seen.at(-1))) return;
    }
    assert.fail(`${wanted} is not reached: ${seen.join(' > ')}`);
  };
  await page.keyboard.press('Control+k');
  await page.keyboard.type('busy');
  await page.keyboard.press('Enter');
  await tabTo(/^New file$/);
  await page.keyboard.press('Enter');
  await page.keyboard.type('in.txt');
  await page.keyboard.press('Enter');
  await page.getByRole('tab', { name: 'in.txt' }).waitFor();
  // Into the editor, out of it again, and to the command.
  await page.evaluate(() => document.getElementById('tab-in.txt').focus());
  for (let n = 0; n < 12 && !(await page.evaluate(() => document.activeElement?.classList.contains('editor'))); n++) await page.keyboard.press('Tab');
  await page.keyboard.type('typed by keys');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.classList.contains('editor')), false);
  await page.keyboard.press('F6');
  assert.equal(await focus(), 'command');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('wc -w in.txt');
  await page.keyboard.press('Control+Enter');
  await resultAfter(page, 0);
  assert.equal(await status(page), 'Finished');
  assert.match(await textOf(page, 'stdout'), /^3 in.txt/);
  await page.keyboard.press('F6');
  assert.equal(await page.evaluate(() => document.activeElement?.classList.contains('editor')), true);
  await page.keyboard.press('F6');
  assert.equal(await focus(), 'tab-result-output');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await page.locator('.waterfall').waitFor();
  await close();
});

test('nothing jumps while the page loads and runs', async () => {
  const { page, close } = await newPage();
  await page.addInitScript(() => {
    window.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await open(page, linkOf({ image: 'busybox', files: { 'a.txt': 'x' }, command: ['echo', 'still'] }));
  await run(page);
  const shift = await page.evaluate(() => window.shift);
  assert.ok(shift < 0.05, `layout shift ${shift}`);
  await close();
});
