// The program, a receiver that answers as a test chooses, and what both need.

import { spawn, execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const TOKEN = 'a-token-for-the-browser-0123456789';
export const CALL = '550e8400-e29b-41d4-a716-446655440000';
export const root = process.cwd();
const program = resolve(process.env.WEBHOOK_ASSETS_PROGRAM ?? 'target/debug/webhook-assets');

const wait = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));

/** How long a test waits for what must happen: a pass never takes that long. */
export const PATIENCE = 60_000;

/** Waits until `wanted` returns something; `what` is missing if it never does. */
export async function until(what, wanted) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await wanted();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await wait(50);
  }
}

const freePort = () => new Promise((done) => {
  const socket = createSocket().listen(0, '127.0.0.1', () => {
    const { port } = socket.address();
    socket.close(() => done(port));
  });
});

/** A receiver; `react(request, body)` returns status, body and how long to wait. */
export async function receiver() {
  const it = { received: [], react: () => ({ status: 200, body: 'OK' }), allow: 'POST, OPTIONS' };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (request.method === 'OPTIONS') return response.writeHead(204, { allow: it.allow }).end();
    it.received.push({ headers: request.headers, url: request.url, body });
    const { status, body: answer, wait = 0 } = it.react(request, body, it.received.length);
    setTimeout(() => response.writeHead(status).end(answer ?? ''), wait);
    return undefined;
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  it.url = `http://127.0.0.1:${server.address().port}/hook`;
  it.close = () => server.close();
  return it;
}

/** The site of a product: it embeds the page that its query names, and has a logo. */
export async function product() {
  const logo = '<svg xmlns="http://www.w3.org/2000/svg" width="96" height="28"><rect width="96" height="28" rx="6" fill="#ffe600"/>'
    + '<text x="18" y="20" font-family="sans-serif" font-weight="700" font-size="17">ACME</text></svg>';
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname.startsWith('/logo.svg')) return response.writeHead(200, { 'content-type': 'image/svg+xml' }).end(logo);
    const source = (searchParams.get('embed') ?? '').replaceAll('"', '&quot;');
    return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html><html lang="en"><meta name="viewport"
      content="width=device-width"><meta name="color-scheme" content="light dark"><title>The product</title><h1>The product</h1>
      <iframe title="Webhooks" src="${source}" style="width: 100%; height: 75rem; border: 0"></iframe>`);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  // Another site than 127.0.0.1, which is the settings page's.
  return { origin: `http://localhost:${server.address().port}`, close: () => server.close() };
}

/** The running program in a fresh folder. */
export class World {
  /** With `nginx`, people reach it through the nginx of deploy/, and the settings page below a path prefix. */
  static async start({ nginx = false, prefix = '' } = {}) {
    const world = new World();
    world.folder = mkdtempSync(join(tmpdir(), 'webhook-assets-'));
    const [gateway, admin] = [await freePort(), await freePort()];
    world.gateway = `http://127.0.0.1:${gateway}`;
    world.admin = `http://127.0.0.1:${admin}`;
    // What people see: the origin of the settings page, its path, and the address of links.
    world.site = world.admin;
    world.console = `${prefix}/console`;
    world.links = world.gateway;
    writeFileSync(join(world.folder, 'token'), `${TOKEN}\n`, { mode: 0o600 });
    for (const kind of ['recordings', 'transcripts']) cpSync(join(root, 'fixtures', kind), join(world.folder, 'store', kind), { recursive: true });
    world.environment = {
      PATH: process.env.PATH,
      WEBHOOK_ASSETS_KEYS: join(world.folder, 'keys.json'),
      WEBHOOK_ASSETS_PUBLIC_URL: world.gateway,
      WEBHOOK_ASSETS_STORE: `file://${world.folder}/store`,
      WEBHOOK_ASSETS_LISTEN: `127.0.0.1:${gateway}`,
      WEBHOOK_ASSETS_ADMIN_LISTEN: `127.0.0.1:${admin}`,
      WEBHOOK_ASSETS_ADMIN_TOKEN_FILE: join(world.folder, 'token'),
      WEBHOOK_ASSETS_DATABASE: `sqlite:${world.folder}/calls.db`,
      WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP: 'true',
      WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8',
      WEBHOOK_ASSETS_LOG_LEVEL: 'info',
    };
    if (nginx) await world.startNginx(gateway, admin, prefix);
    world.run('keys', 'new', '--keys', world.environment.WEBHOOK_ASSETS_KEYS);
    await world.serve();
    return world;
  }

  async startNginx(gateway, admin, prefix) {
    const tls = await freePort();
    this.site = `https://hooks.example.com:${tls}`;
    this.links = `https://127.0.0.1:${tls}`;
    this.environment.WEBHOOK_ASSETS_CONSOLE_URL = `${this.site}${prefix}`;
    this.environment.WEBHOOK_ASSETS_PUBLIC_URL = `${this.links}/api`;
    const environment = { ...process.env, ADMIN: `127.0.0.1:${admin}`, PREFIX: prefix };
    const words = ['examples/nginx.sh', String(tls), `127.0.0.1:${gateway}`, join(this.folder, 'nginx')];
    let log = '';
    this.nginx = spawn('bash', words, { env: environment });
    for (const stream of [this.nginx.stdout, this.nginx.stderr]) stream.on('data', (data) => { log += data; });
    for (const end = Date.now() + PATIENCE; Date.now() < end;) {
      if (await fetch(this.links).then(() => true).catch(() => false)) return;
      await wait(50);
    }
    throw new Error(`nginx did not start:\n${log}`);
  }

  /** Everything that nginx has logged. */
  nginxLog() {
    const folder = join(this.folder, 'nginx');
    return readdirSync(folder).filter((name) => name.endsWith('.log')).map((name) => readFileSync(join(folder, name), 'utf8')).join('');
  }

  run(...words) {
    return execFileSync(program, words, { env: this.environment, encoding: 'utf8' });
  }

  async serve() {
    this.log = '';
    this.process = spawn(program, ['serve'], { env: this.environment });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on('data', (data) => { this.log += data; });
    for (const end = Date.now() + PATIENCE; Date.now() < end;) {
      const ready = await fetch(`${this.admin}/readyz`).then((answer) => answer.ok).catch(() => false);
      if (ready) return;
      await wait(50);
    }
    throw new Error(`the program did not start:\n${this.log}`);
  }

  async stop() {
    const ended = new Promise((done) => this.process.once('exit', done));
    this.process.kill('SIGTERM');
    await ended;
  }

  async end() {
    await this.stop();
    this.nginx?.kill('SIGTERM');
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Sends a request to the admin API. */
  async api(method, path, body) {
    const answer = await fetch(`${this.admin}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Posts a completed call; `changes` to what stands around the call, `ofCall` to the call itself. */
  call(id, changes = {}, ofCall = {}) {
    return this.api('POST', '/v1/calls', {
      workspace: 'acme', call_id: id, recording: CALL, transcript: CALL,
      call: {
        ended_at: new Date().toISOString(), status: 'connected', direction: 'outgoing', duration_seconds: 180,
        from_number: '+33100000000', to_number: '+33600000000', summary: 'Discussed pricing options.', ...ofCall,
      },
      prospect: {
        first_name: 'John', last_name: 'Doe', email: 'john.doe@example.com', company: 'Acme Inc',
        job_title: 'Software Engineer', crm_contact_id: '123', crm_company_id: '456',
      },
      user: { name: 'Jane Smith', email: 'jane@yourcompany.com' },
      list: { list_name: 'Q1 Outbound Campaign', list_id: '123' },
      ...changes,
    });
  }
}
