// The digests of the golden jobs, computed without any of the load balancer's code.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { canonical, effectiveConfig, jobDigest } from './digest.js';

const file = new URL('../../crates/proto/vectors/job_digest-v1-jobs_of_catalogue_v2.json', import.meta.url);
const { catalogue, jobs } = JSON.parse(readFileSync(file, 'utf8'));

for (const { name, request, config, digest } of jobs) {
  test(name, async () => {
    assert.deepEqual(effectiveConfig(request, catalogue), config);
    assert.equal(await jobDigest(request, catalogue), digest);
  });
}

test('every part of a config is in its canonical encoding', () => {
  const { config } = jobs[0];
  const seen = new Set([String(canonical(config))]);
  for (const key of ['args', 'env', 'outputs']) {
    seen.add(String(canonical({ ...config, [key]: [...config[key], 'A=1'] })));
  }
  for (const key of ['cwd', 'user']) {
    seen.add(String(canonical({ ...config, [key]: `${config[key]}x` })));
  }
  assert.equal(seen.size, 6);
});
