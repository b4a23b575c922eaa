// The digest of a job, computed where WebCrypto is: browsers, Node, Deno, workers.
//
// Written from docs/protocol.md alone (sections 2, 3, 7 and 8.1). With it a page asks
// `GET /api/v1/results/<digest>` before it uploads anything. The load balancer computes the digest
// itself and believes nobody; a digest that is wrong here is a request more, never a wrong result.

const utf8 = new TextEncoder();

/** The platform of an image that a request means (section 7). Throws if there is none. */
export function findPlatform(catalogue, reference, arch) {
  const [named, digest] = reference.startsWith('sha256:') ? [null, reference] : reference.split('@');
  const fits = (platform) =>
    (!digest || platform.digest === digest) && (!arch || platform.arch === arch);
  const names = (image) => [image.name, ...image.tags.map((tag) => `${image.name}:${tag}`)];
  const images = catalogue.images.filter((image) => named === null || names(image).includes(named));
  // By name the first entry is meant; by digest, whichever has it.
  const candidates = digest ? images : images.slice(0, 1);
  const platform = candidates.flatMap((image) => image.platforms).find(fits);
  if (!platform) throw new Error(`no image ${reference}`);
  return platform;
}

/** The effective config of a request (section 3.3). */
export function effectiveConfig(request, catalogue, wallMsDefault = 10000) {
  const platform = findPlatform(catalogue, request.image, request.requires?.arch);
  const image = platform.config;
  const entrypoint = request.entrypoint ?? image.entrypoint;
  const args = request.args ?? (request.entrypoint ? [] : image.cmd);
  const env = new Map();
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  for (const pair of [path, ...image.env]) {
    const at = pair.indexOf('=');
    env.set(pair.slice(0, at), pair.slice(at + 1));
  }
  for (const [name, value] of Object.entries(request.env ?? {})) env.set(name, value);
  const names = [...env.keys()].sort((a, b) => compareBytes(utf8.encode(a), utf8.encode(b)));
  const workdir = image.workdir && !image.workdir.startsWith('/') ? `/${image.workdir}` : image.workdir;
  const limits = request.limits ?? {};
  return {
    image: platform.digest,
    arch: platform.arch,
    args: [...entrypoint, ...args],
    env: names.map((name) => `${name}=${env.get(name)}`),
    cwd: request.cwd ?? (workdir || '/input'),
    user: image.user,
    outputs: request.outputs ?? [],
    limits: {
      wall_ms: limits.wall_ms ?? wallMsDefault,
      output_bytes: limits.output_bytes ?? 2097152,
      stdout_bytes: limits.stdout_bytes ?? 1048576,
      stderr_bytes: limits.stderr_bytes ?? 1048576,
    },
  };
}

/** The canonical encoding of an effective config (section 3.2). */
export function canonical(config) {
  const { wall_ms, output_bytes, stdout_bytes, stderr_bytes } = config.limits;
  return join([
    fromHex(config.image.replace('sha256:', '')),
    text(config.arch),
    list(config.args),
    list(config.env),
    text(config.cwd),
    text(config.user),
    list(config.outputs),
    ...[wall_ms, output_bytes, stdout_bytes, stderr_bytes].map(u64),
  ]);
}

/** The archive of a request's files and standard input (section 2). */
export function archive(request) {
  const entries = Object.entries(request.files ?? {}).map(([path, file]) => ({
    path: utf8.encode(`input/${path}`),
    kind: file.directory ? 2 : file.executable ? 1 : 0,
    data: bytesOf(file),
  }));
  const stdin = bytesOf(request.stdin ?? '');
  if (stdin.length > 0) entries.push({ path: utf8.encode('stdin'), kind: 0, data: stdin });
  // Name by name: as if the slash were the smallest byte.
  const key = (path) => path.map((byte) => (byte === 0x2f ? 0 : byte));
  entries.sort((a, b) => compareBytes(key(a.path), key(b.path)));
  const parts = [utf8.encode('PEARCH\0\x01')];
  for (const { path, kind, data } of entries) {
    parts.push(Uint8Array.of(kind), u16(path.length), u32(data.length), path, data);
  }
  parts.push(Uint8Array.of(0xff), u32(entries.length));
  return join(parts);
}

/** The digest of a request, 64 digits. */
export async function jobDigest(request, catalogue, wallMsDefault) {
  const config = canonical(effectiveConfig(request, catalogue, wallMsDefault));
  const hashed = join([utf8.encode('PEJOB\0\0\x01'), u32(config.length), config, archive(request)]);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', hashed));
  return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function bytesOf(content) {
  if (typeof content === 'string') return utf8.encode(content);
  if (content.base64 !== undefined) {
    return Uint8Array.from(atob(content.base64), (char) => char.charCodeAt(0));
  }
  return utf8.encode(content.text ?? '');
}

function text(value) {
  const bytes = utf8.encode(value);
  return join([u32(bytes.length), bytes]);
}

function list(values) {
  return join([u32(values.length), ...values.map(text)]);
}

function number(bytes, write) {
  const view = new DataView(new ArrayBuffer(bytes));
  write(view);
  return new Uint8Array(view.buffer);
}

const u16 = (value) => number(2, (view) => view.setUint16(0, value, true));
const u32 = (value) => number(4, (view) => view.setUint32(0, value, true));
const u64 = (value) => number(8, (view) => view.setBigUint64(0, BigInt(value), true));

function fromHex(digits) {
  return Uint8Array.from(digits.match(/../g), (pair) => Number.parseInt(pair, 16));
}

function compareBytes(a, b) {
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    if (a[at] !== b[at]) return a[at] - b[at];
  }
  return a.length - b.length;
}

function join(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
