import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { effectiveConfig } from '../digest/digest.js';
import { archiveOf, digestOf, encodeRequest, type InputFile } from '../src/core/job';
import { decodeArchive } from '../src/core/archive';
import { bytesOf } from '../src/core/state';

const file = new URL('../../crates/proto/vectors/job_digest-v1-jobs.json', import.meta.url);
const { catalogue, jobs } = JSON.parse(readFileSync(file, 'utf8'));

for (const { name, request, config, digest } of jobs) {
  test(`the digest of: ${name}`, async () => {
    const { files, stdin, ...rest } = request;
    const all = Object.entries(files ?? {}) as [string, { directory?: boolean }][];
    const inputs: InputFile[] = all.filter(([, content]) => !content.directory).map(([path, content]) => ({ path, ...bytesOf(content, path) }));
    const directories = all.filter(([, content]) => content.directory).map(([path]) => path);
    const archive = archiveOf(inputs, bytesOf(stdin ?? '', 'stdin').data, directories);
    expect(effectiveConfig(rest, catalogue)).toEqual(config);
    expect(await digestOf(rest, archive, catalogue)).toBe(digest);
  });
}

test('the binary form is a length, the config and the archive', () => {
  const archive = archiveOf([], new Uint8Array(0));
  const bytes = encodeRequest({ image: 'gcc' }, archive);
  expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(15);
  expect(decodeArchive(bytes.subarray(19), 'job')).toEqual([]);
});
