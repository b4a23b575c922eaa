// Runs the tests of the page in a browser against a real load balancer, worker and VMs.
// `node e2e/run.mjs [name of a test file]`; PE_WEB_E2E_BASE names a service that runs already.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startLab } from './lab.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const wanted = process.argv[2] ?? '';
const files = readdirSync(here).filter((name) => name.endsWith('.test.mjs') && name.includes(wanted)).sort();

const given = process.env.PE_WEB_E2E_BASE;
const lab = given ? { base: given, stop: async () => {} } : await startLab();
let code = 1;
const child = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files.map((name) => here + name)], {
  stdio: 'inherit',
  env: { ...process.env, PE_WEB_E2E_BASE: lab.base },
});
const interrupt = () => child.kill('SIGTERM');
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);
try {
  code = await new Promise((resolve) => child.once('exit', (status) => resolve(status ?? 1)));
} finally {
  await lab.stop();
}
process.exit(code);
