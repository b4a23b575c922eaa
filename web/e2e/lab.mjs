// A load balancer that serves the page, and a worker with real VMs, for as long as a test runs.

import { spawn } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const bin = (name) => `${root}target/release/${name}`;
const logs = `${root}build/web-e2e`;

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function daemon(name, args) {
  mkdirSync(logs, { recursive: true });
  const log = openSync(`${logs}/${name}.log`, 'w');
  return spawn(bin(name), args, { cwd: root, stdio: ['ignore', log, log] });
}

const ended = (child) => new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve(child.exitCode)));

/** Starts both and waits until a job went through. */
export async function startLab() {
  const [port, workerPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const lb = daemon('pe-lb', [
    '--listen', `127.0.0.1:${port}`, '--listen-workers', `127.0.0.1:${workerPort}`, '--listen-admin', `127.0.0.1:${adminPort}`,
    '--catalogue', 'build/images/catalogue.json', '--wall-ms-max', '120000', '--web', 'web/dist',
  ]);
  const worker = daemon('pe-worker', [
    '--lb', `http://127.0.0.1:${workerPort}`, '--name', 'web-e2e', '--images', 'build/images', '--vm-assets', 'build/vm/x86_64',
  ]);
  const stop = async () => {
    // The worker first: it takes leave of a load balancer that is still there.
    for (const child of [worker, lb]) {
      child.kill('SIGTERM');
      await ended(child);
    }
  };
  const base = `http://127.0.0.1:${port}`;
  const waiting = spawn(bin('pe'), ['wait-ready', '--server', base, '--timeout', '120s'], { cwd: root, stdio: 'inherit' });
  const first = await Promise.race([ended(waiting).then((code) => (code === 0 ? 'ready' : 'late')), ended(lb).then(() => 'pe-lb ended'), ended(worker).then(() => 'pe-worker ended')]);
  if (first !== 'ready') {
    waiting.kill();
    await stop();
    throw new Error(`the service did not become ready (${first}); see ${logs}`);
  }
  return { base, stop };
}
