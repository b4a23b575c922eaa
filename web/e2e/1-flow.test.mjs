// What people come for: write, compile, run, look, share.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { base, edit, generation, linkOf, newPage, open, picture, resultAfter, run, status, tab, textOf, writeFile } from './browser.mjs';

const HELLO = `#include <stdio.h>

int main(void) {
    char name[64];
    while (scanf("%63s", name) == 1)
        printf("\\x1b[1;32mHello\\x1b[0m, %s!\\n", name);
    fprintf(stderr, "and a word on stderr\\n");
    return 0;
}
`;
const COMPILE = "sh -c 'gcc -Wall main.c -o /output/hello && /output/hello'";

test('write C, compile, run, edit, meet an error, mend it, and share it into a fresh profile', async () => {
  const { page, close } = await newPage({ permissions: ['clipboard-read', 'clipboard-write'] });
  await open(page);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('gcc');
  await page.keyboard.press('Enter');
  for (const name of await page.locator('.files [role=tab]:not(.tab-stdin)').allTextContents()) {
    await page.getByRole('tab', { name }).click();
    await page.getByRole('button', { name: `Delete ${name}` }).click();
  }
  await writeFile(page, 'main.c', HELLO);
  await page.getByRole('tab', { name: 'stdin' }).click();
  await edit(page, 'Ada Grace\n');
  await page.getByRole('tab', { name: 'main.c' }).click();
  await page.locator('#command').fill(COMPILE);
  await page.locator('#wall').fill('90');
  await page.locator('#wall').press('Tab');
  await run(page);
  assert.equal(await status(page), 'Finished');
  assert.match(await textOf(page, 'stdout'), /Hello, Ada!\nHello, Grace!/);
  assert.match(await textOf(page, 'stderr'), /a word on stderr/);
  assert.equal(await page.locator('.stream[data-name=stdout] .a-fg2.a-bold').first().textContent(), 'Hello');
  assert.match(await page.locator('.tag').first().textContent(), /new run/);
  await picture(page, 'page-desktop');

  // The exact bytes, escapes included.
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download stdout' }).click()]);
  assert.equal(await readFile(await download.path(), 'utf8'), '\x1b[1;32mHello\x1b[0m, Ada!\n\x1b[1;32mHello\x1b[0m, Grace!\n');

  await tab(page, 'Details');
  assert.equal(await page.locator('.waterfall tbody tr').count(), 9);
  assert.match(await page.locator('.details').innerText(), /sha256:[0-9a-f]{64}/);
  await tab(page, /^Files 1/);
  assert.match(await page.locator('.viewer').innerText(), /00000000 +7f 45 4c 46/);
  await tab(page, 'Output');

  // An error of the compiler, against the result that is pinned.
  await page.getByRole('button', { name: 'Pin' }).click();
  await edit(page, HELLO.replace('return 0;', 'return 0'));
  assert.match(await page.locator('.status').innerText(), /changed since/);
  await run(page);
  assert.equal(await status(page), 'Exited with status 1');
  assert.match(await textOf(page, 'stderr'), /error: expected/);
  await tab(page, 'Compare');
  assert.match(await page.locator('.difference', { hasText: 'stderr' }).innerText(), /−[\s\S]*a word on stderr[\s\S]*\+[\s\S]*error: expected/);
  await picture(page, 'page-compare');

  // Back to what was run first: the server knows it.
  await edit(page, HELLO);
  await tab(page, 'Output');
  await run(page);
  assert.match(await page.locator('.tag').first().textContent(), /known result/);

  await page.getByRole('button', { name: 'Share' }).click();
  const short = page.locator('#share-short-link');
  await page.waitForFunction(() => /\/s\/[\w-]{22}$/.test(document.querySelector('#share-short-link')?.value ?? ''));
  const link = await short.inputValue();
  const long = await page.locator('#share-long-link').inputValue();
  assert.match(await page.locator('#share-for-a-terminal').inputValue(), /^pe replay 'http/);
  assert.match(await page.locator('#share-for-a-web-page').inputValue(), /\/embed\/s\/[\w-]{22}"/);
  await picture(page, 'page-share');
  await close();

  for (const each of [link, long]) {
    const other = await newPage();
    const posts = [];
    other.page.on('request', (request) => request.method() === 'POST' && posts.push(request.url()));
    await other.page.goto(each);
    await resultAfter(other.page, 0, 20_000);
    assert.match(await textOf(other.page, 'stdout'), /Hello, Ada!/);
    assert.match(await other.page.locator('.editor .cm-content').innerText(), /int main/);
    assert.equal(await other.page.locator('#command').inputValue(), COMPILE);
    assert.deepEqual(posts, []);
    await other.close();
  }

  // In a frame of another site.
  const host = await newPage();
  await host.page.route('http://docs.example/', (route) => route.fulfill({ contentType: 'text/html', body: `<title>Docs</title><iframe src="${link.replace('/s/', '/embed/s/')}" width="900" height="500"></iframe>` }));
  await host.page.goto('http://docs.example/');
  const frame = host.page.frameLocator('iframe');
  await frame.locator('.stream[data-name=stdout]').waitFor();
  assert.match(await frame.locator('.stream[data-name=stdout]').innerText(), /Hello, Grace!/);
  await host.close();
});

test('a known result is shown without an upload', async () => {
  const link = linkOf({ image: 'busybox', command: ['sh', '-c', 'echo once'] });
  const first = await newPage();
  await open(first.page, link);
  await run(first.page);
  await first.close();
  const { page, close } = await newPage();
  const requests = [];
  page.on('request', (request) => requests.push([request.method(), new URL(request.url()).pathname, request.postDataBuffer()?.length ?? 0]));
  await open(page, link);
  await run(page);
  assert.match(await textOf(page, 'stdout'), /once/);
  const asked = requests.filter(([, path]) => path.startsWith('/api/v1/r'));
  assert.equal(asked.length, 1, JSON.stringify(asked));
  assert.equal(asked[0][0], 'GET');
  assert.ok(requests.every(([method, , bytes]) => method !== 'POST' && bytes === 0));
  await close();
});

test('a timeout keeps what was written, and says what to do', async () => {
  const { page, close } = await newPage();
  await open(page, linkOf({ image: 'busybox', command: ['sh', '-c', 'echo before; sleep 60'], limits: { wall_ms: 1500 } }));
  await run(page);
  assert.equal(await status(page), 'Stopped after 1.5 s');
  assert.match(await textOf(page, 'stdout'), /before/);
  assert.match(await page.locator('.outcome-next').innerText(), /longer limit/);
  await close();
});

test('the place in the queue is told, Escape cancels, and the page says so', async () => {
  const { page, close } = await newPage();
  const steps = [{ state: 'queued', position: 3, wait_ms: 1200 }, { state: 'fetching', percent: 40, bytes: 4e6, bytes_total: 1e7 }];
  await page.route('**/api/v1/progress/*', (route) => (steps.length > 0 ? route.fulfill({ json: steps.shift() }) : route.continue()));
  await open(page, linkOf({ image: 'busybox', command: ['sh', '-c', `sleep 50; echo ${Date.now()}`] }));
  await page.keyboard.press('Control+Enter');
  await page.locator('.status[data-tone=busy]', { hasText: /Number 3 in the queue[\s\S]*about 2 s to wait/ }).waitFor();
  await page.locator('.status[data-tone=busy]', { hasText: /fetches the image: 40 %[\s\S]*4.0 MB of 10 MB/ }).waitFor();
  await page.waitForFunction(() => /[1-9]\.\d s/.test(document.querySelector('.ticking')?.textContent ?? ''));
  await picture(page, 'page-running');
  await page.keyboard.press('Escape');
  await page.locator('.status', { hasText: 'Cancelled.' }).waitFor();
  assert.equal(await generation(page), 0);
  await close();
});

test('what goes wrong is a sentence with a next step', async () => {
  const { page, close } = await newPage();
  await open(page, linkOf({ image: 'busybox', command: ['no-such-program'] }));
  await run(page);
  assert.equal(await status(page), 'Did not start');
  assert.match(await page.locator('.outcome-next').first().innerText(), /no-such-program/);

  // Refused for a while: a countdown, and then by itself.
  let times = 0;
  await page.route('**/api/v1/run', (route) =>
    times++ === 0
      ? route.fulfill({ status: 429, contentType: 'application/problem+json', headers: { 'retry-after': '2' }, body: JSON.stringify({ type: 'urn:pe:problem:too-many-requests', title: 'Too many requests', status: 429, detail: '', fault: 'client', retry: true }) })
      : route.continue(),
  );
  await page.locator('#command').fill(`sh -c 'echo again ${Date.now()}'`);
  const before = await generation(page);
  await page.locator('button.run').click();
  await page.getByRole('button', { name: /Try now \(by itself in [12] s\)/ }).waitFor();
  await picture(page, 'page-refused');
  await resultAfter(page, before);
  assert.match(await textOf(page, 'stdout'), /again/);

  // A value that the server refuses names its place.
  await page.route('**/api/v1/run', (route) => route.fulfill({ status: 400, contentType: 'application/problem+json', body: JSON.stringify({ type: 'urn:pe:problem:bad-request', title: 'The request is malformed', status: 400, detail: 'expected a pattern', fault: 'client', retry: false, pointer: '/outputs/0' }) }));
  await page.locator('#command').fill(`echo ${Date.now()}`);
  await page.locator('button.run').click();
  assert.match(await page.getByRole('alert').innerText(), /It is about the files to return/);

  // No server at all.
  await page.route('**/api/**', (route) => route.abort());
  await page.locator('#command').fill(`echo ${Date.now()}`);
  await page.locator('button.run').click();
  await page.getByRole('heading', { name: 'The server cannot be reached' }).waitFor();
  await page.context().close();
  void close;

  const bad = await newPage();
  await bad.page.goto(`${base}/#s=AAAA`);
  await bad.page.getByRole('heading', { name: 'This link cannot be opened' }).waitFor();
  await bad.close();
});

test('files are uploaded, dropped, renamed and deleted, and binary files are said to be such', async () => {
  const { page, close } = await newPage();
  await open(page, linkOf({ image: 'busybox', command: ['sh', '-c', 'ls -1 /input; cat b/new.txt; cat bytes.bin | wc -c'] }));
  await page.locator('#upload').setInputFiles([
    { name: 'one.txt', mimeType: 'text/plain', buffer: Buffer.from('first\n') },
    { name: 'bytes.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0, 1, 2, 255]) },
  ]);
  await page.getByRole('tab', { name: 'bytes.bin' }).click();
  assert.match(await page.locator('.binary').innerText(), /Binary, 4 B/);
  await page.getByRole('tab', { name: 'one.txt' }).press('F2');
  await page.getByLabel('Name, with folders if you like').fill('../x');
  assert.match(await page.locator('.form-why').innerText(), /`\.` or `\.\.`/);
  await page.getByLabel('Name, with folders if you like').fill('b/new.txt');
  await page.keyboard.press('Enter');
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['dropped\n'], 'dropped.txt'));
    for (const type of ['dragenter', 'drop']) document.querySelector('.files').dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  });
  await page.getByRole('tab', { name: 'dropped.txt' }).waitFor();
  await page.getByRole('tab', { name: 'dropped.txt' }).press('Delete');
  assert.equal(await page.getByRole('tab', { name: 'dropped.txt' }).count(), 0);
  await run(page);
  assert.equal((await textOf(page, 'stdout')).trim(), 'b\nbytes.bin\nfirst\n4');
  // A reload keeps the work.
  await page.waitForFunction(() => (localStorage.getItem('pe-draft') ?? '').includes('b/new.txt'));
  await page.goto(`${base}/`);
  await page.getByRole('tab', { name: 'b/new.txt' }).waitFor();
  await close();
});

test('the command is words, and what a shell would do is told', async () => {
  const { page, close } = await newPage();
  await open(page, linkOf({ image: 'busybox', command: ['echo', 'x'] }));
  await page.locator('#command').fill('echo "a  b" $HOME | cat');
  assert.deepEqual(await page.locator('.words .word').allTextContents(), ['echo', 'a  b', '$HOME', '|', 'cat']);
  await run(page);
  assert.match(await textOf(page, 'stdout'), /^a {2}b \$HOME \| cat/);
  await page.locator('#command').fill('echo piped | cat');
  await page.getByRole('button', { name: /No shell for/ }).click();
  assert.equal(await page.locator('#command').inputValue(), "sh -c 'echo piped | cat'");
  await run(page);
  assert.match(await textOf(page, 'stdout'), /^piped$/m);
  await close();
});

test('it runs by itself a moment after a change', async () => {
  const { page, close } = await newPage();
  await open(page, linkOf({ image: 'busybox', command: ['cat', 'a.txt'], files: { 'a.txt': `${Date.now()}\n` } }));
  await page.getByLabel('Auto-run').check();
  await resultAfter(page, 0);
  await edit(page, 'changed by hand\n');
  await resultAfter(page, 1);
  assert.match(await textOf(page, 'stdout'), /changed by hand/);
  await close();
});

test('the same over several images, with the first difference', async () => {
  const { page, close } = await newPage();
  await open(page, linkOf({ image: 'busybox:1.35', command: ['sh', '-c', 'test -e /usr/bin/gcc && echo has gcc || echo has none'] }));
  await tab(page, 'Matrix');
  await page.locator('.matrix-images').getByLabel('gcc:12').check();
  await page.getByRole('button', { name: 'Run 2 cells' }).click();
  await page.locator('.cell-button[data-first-bad=yes]', { hasText: 'stdout, line 1' }).waitFor({ timeout: 90_000 });
  await picture(page, 'page-matrix');
  await page.locator('.cell-button[data-first-bad=yes]').click();
  assert.match(await page.locator('.difference').first().innerText(), /has none[\s\S]*has gcc/);
  await close();
});
