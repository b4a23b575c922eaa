// Output of strangers' programs: nothing of it runs in the page's origin, and no amount of it makes
// the page stand still (threat case 39).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { linkOf, newPage, open, run, tab, textOf } from './browser.mjs';

const HOSTILE = await readFile(new URL('./fixtures/hostile.py', import.meta.url), 'utf8');

test('documents, drawings, polyglots and names run nothing in the page and load nothing', async () => {
  // The policy's refusals are what is wanted here.
  const refused = /Content Security Policy|Executing inline|Refused to|violates|sandboxed|Blocked (?:opening|script)|Unsafe attempt|GPU stall|THREE|WebGL|Invalid PDF|Not allowed to load/i;
  const { page, close } = await newPage({ allow: [refused] });
  const asked = [];
  // What the policy stops is told as a request that failed, so what counts is what was answered.
  page.on('response', (response) => asked.push(response.url()));
  const navigations = [];
  page.on('framenavigated', (frame) => frame.parentFrame() === null && navigations.push(frame.url()));
  await open(page, linkOf({ image: 'python', command: ['python3', 'hostile.py'], files: { 'hostile.py': HOSTILE } }));
  const title = await page.title();
  await run(page);
  await tab(page, 'Output');
  assert.match(await textOf(page, 'stdout'), /<script>[\s\S]*linkdone/);
  await tab(page, /^Files/);
  const buttons = page.locator('.outputs-list button');
  const count = await buttons.count();
  assert.ok(count >= 13, `${count} files`);
  for (let n = 0; n < count; n++) {
    await buttons.nth(n).click();
    const viewer = page.locator('.viewer');
    await viewer.waitFor();
    if (await viewer.locator('.sandbox').count()) await viewer.locator('.sandbox-note', { hasNotText: /^Loading$/ }).waitFor();
    const source = viewer.getByRole('button', { name: 'Source' });
    if (await source.count()) await source.click();
  }
  // Its refresh waits for a second, so it gets more.
  await page.locator('.outputs-list button', { hasText: 'page.html' }).click();
  await page.locator('.sandbox-note', { hasText: 'without scripts' }).waitFor();
  const frame = page.frames().find((each) => each.url().endsWith('/sandbox'));
  assert.equal(await frame.evaluate(() => window.origin), 'null');
  const inner = frame.childFrames()[0];
  assert.equal(await inner.evaluate(() => document.querySelector('p').textContent), 'shown');
  await inner.locator('a#l').click({ timeout: 3000 });
  await page.waitForTimeout(2500);
  const found = await page.evaluate(() => ({ hacked: window.hacked, stored: localStorage.getItem('hacked'), cookie: document.cookie, scripts: [...document.scripts].length, handlers: document.querySelectorAll('#app [onerror], #app [onload], #app script').length }));
  assert.deepEqual(found, { hacked: undefined, stored: null, cookie: '', scripts: 1, handlers: 0 });
  assert.equal(await page.title(), title);
  assert.deepEqual(asked.filter((url) => url.includes('hacked')), []);
  assert.equal(navigations.length, 1, navigations.join());
  await close();
});

/** The longest time for which the page did nothing else, in milliseconds, while something is done. */
async function longestPause(page, act) {
  await page.evaluate(() => {
    window.pause = { longest: 0, last: performance.now() };
    window.pauseTimer = setInterval(() => {
      const now = performance.now();
      window.pause.longest = Math.max(window.pause.longest, now - window.pause.last);
      window.pause.last = now;
    }, 5);
  });
  await act();
  return page.evaluate(() => {
    clearInterval(window.pauseTimer);
    return Math.round(window.pause.longest);
  });
}

const FLOODS = {
  '2 MB of escape sequences': "yes \"$(printf '\\033[38;5;200m\\033[1mx\\033[48;2;1;2;3my\\033[0m\\033[%.0s' $(seq 40))\" | head -c 2000000",
  '100,000 lines': 'seq -f "line %.0f ----------" 100000 || seq 100000',
  'one line of 2 MB': "head -c 2000000 /dev/zero | tr '\\0' x",
};

test('floods of output leave the page responsive', async (t) => {
  for (const [name, script] of Object.entries(FLOODS)) {
    const { page, close } = await newPage();
    await open(page, linkOf({ image: 'gcc', command: ['sh', '-c', script], limits: { wall_ms: 90_000, stdout_bytes: 4_194_304 } }));
    const shown = await longestPause(page, async () => {
      await run(page);
      await page.locator('.vrow').first().waitFor();
    });
    const rows = await page.locator('.vrow').count();
    assert.ok(rows < 200, `${rows} rows are there at once`);
    const scrolled = await longestPause(page, () =>
      page.evaluate(async () => {
        const box = document.querySelector('.vrows');
        for (let n = 1; n <= 40; n++) {
          box.scrollTop = (box.scrollHeight * n) / 40;
          await new Promise(requestAnimationFrame);
        }
      }),
    );
    await page.getByRole('button', { name: 'Find in stdout' }).click();
    const found = await longestPause(page, async () => {
      await page.getByPlaceholder('Find').fill('9');
      await page.locator('.find span').waitFor();
    });
    t.diagnostic(`${name}: longest pause ${shown} ms when shown, ${scrolled} ms while scrolled, ${found} ms when searched`);
    for (const pause of [shown, scrolled, found]) assert.ok(pause < 1000, `${name}: the page stood still for ${pause} ms`);
    await close();
  }
});

test('a result that is no archive, or that lies about its lengths, is a sentence', async () => {
  const { page, close } = await newPage();
  const json = JSON.stringify({ outcome: { kind: 'exited', code: 0 } });
  const head = Buffer.alloc(4);
  head.writeUInt32LE(json.length);
  const bodies = [Buffer.from('nothing'), Buffer.concat([head, Buffer.from(json), Buffer.from('PEARCH\0\x01\0\x05\0\xff\xff\xff\xffoutpu', 'latin1')])];
  for (const body of bodies) {
    await page.route('**/api/v1/results/*', (route) => route.fulfill({ contentType: 'application/vnd.pe.v1', body }));
    await open(page, linkOf({ image: 'busybox', command: ['true'] }));
    await page.locator('button.run').click();
    assert.match(await page.getByRole('alert').innerText(), /could not be run[\s\S]*(?:cut off|refused|larger)/);
    await page.goto('about:blank');
    await page.unroute('**/api/v1/results/*');
  }
  await close();
});
