// A fresh n8n with one workflow, active, and its credential with one secret; beside it two Webhook nodes that ask for
// credentials, at /webhook/header-auth (X-API-Key: k3y-of-n8n) and /webhook/basic-auth (acme, open sesame):
//
//     node n8n.mjs FOLDER-OF-N8N WORKFLOW.json SECRET
//
// Prints "listening on URL" when it accepts events there. For each line on standard input, an N, it waits until N
// executions have ended and prints "executions JSON": what each node returned, oldest execution first. At the end of
// standard input it stops n8n and ends.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const [installed, workflowFile, secret] = process.argv.slice(2);
const program = join(installed, 'node_modules/n8n/bin/n8n');
const require = createRequire(join(installed, 'node_modules/n8n/package.json'));
const sqlite = require('sqlite3');
const flatted = require('flatted');

const port = await freePort();
const home = mkdtempSync(join(tmpdir(), 'n8n-'));
const env = {
  ...process.env,
  N8N_USER_FOLDER: home,
  N8N_LISTEN_ADDRESS: '127.0.0.1',
  N8N_PORT: String(port),
  N8N_RUNNERS_BROKER_PORT: String(await freePort()),
  N8N_ENFORCE_SETTINGS_FILE_PERMISSIONS: 'true',
  // n8n must not contact its makers.
  N8N_DIAGNOSTICS_ENABLED: 'false',
  N8N_VERSION_NOTIFICATIONS_ENABLED: 'false',
  N8N_TEMPLATES_ENABLED: 'false',
  N8N_PERSONALIZATION_ENABLED: 'false',
  EXECUTIONS_DATA_SAVE_ON_SUCCESS: 'all',
  EXECUTIONS_DATA_SAVE_ON_ERROR: 'all',
};

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function command(...words) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`n8n ${words[0]}: ${status}\n${stdout}\n${stderr}`);
}

function importAndPublish() {
  const workflow = JSON.parse(readFileSync(workflowFile, 'utf8'));
  const { crypto } = workflow.nodes.map((node) => node.credentials).find(Boolean);
  const credentials = join(home, 'credentials.json');
  writeFileSync(credentials, JSON.stringify([
    { ...crypto, type: 'crypto', data: { hmacSecret: secret } },
    { id: 'header-auth', name: 'Header', type: 'httpHeaderAuth', data: { name: 'X-API-Key', value: 'k3y-of-n8n' } },
    { id: 'basic-auth', name: 'Basic', type: 'httpBasicAuth', data: { user: 'acme', password: 'open sesame' } },
  ]));
  command('import:credentials', `--input=${credentials}`);
  const authenticated = join(home, 'authenticated.json');
  writeFileSync(authenticated, JSON.stringify(authenticatedWorkflow()));
  for (const [file, id] of [[workflowFile, workflow.id], [authenticated, 'authenticated000']]) {
    command('import:workflow', `--input=${file}`);
    command('publish:workflow', `--id=${id}`);
  }
  return workflow.nodes.find((node) => node.type.endsWith('.webhook')).parameters.path;
}

function authenticatedWorkflow() {
  const node = (path, authentication, type, name) => ({
    parameters: { httpMethod: 'POST', path, authentication, responseMode: 'onReceived', options: {} },
    id: path,
    name: path,
    type: 'n8n-nodes-base.webhook',
    typeVersion: 2,
    position: [0, 0],
    webhookId: path,
    credentials: { [type]: { id: path, name } },
  });
  const nodes = [
    node('header-auth', 'headerAuth', 'httpHeaderAuth', 'Header'),
    node('basic-auth', 'basicAuth', 'httpBasicAuth', 'Basic'),
  ];
  return { id: 'authenticated000', name: 'Authenticated', active: false, nodes, connections: {}, settings: {} };
}

async function executions(count) {
  const database = new sqlite.Database(join(home, '.n8n/database.sqlite'), sqlite.OPEN_READONLY);
  const sql = `SELECT status, data FROM execution_entity JOIN execution_data ON executionId = id
               WHERE finished OR stoppedAt IS NOT NULL ORDER BY id`;
  const query = () => new Promise((resolve, reject) => {
    database.all(sql, (error, rows) => (error ? reject(error) : resolve(rows)));
  });
  for (let tries = 0; tries < 300; tries += 1) {
    const rows = await query();
    if (rows.length >= count) return rows.map(({ status, data }) => ({ status, nodes: nodes(flatted.parse(data)) }));
    await sleep(100);
  }
  throw new Error(`not ${count} executions in 30 s`);
}

// The items at each node's outputs; for binary data n8n's metadata.
function nodes({ resultData }) {
  const runs = Object.entries(resultData.runData);
  return Object.fromEntries(runs.map(([name, [run]]) => [name, (run.data?.main ?? []).map((items) => items ?? [])]));
}

const path = importAndPublish();
const n8n = spawn(process.execPath, [program, 'start'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
let said = '';
n8n.stdout.setEncoding('utf8').on('data', (text) => {
  said += text;
  process.stderr.write(text);
});

async function stop() {
  if (n8n.exitCode === null) {
    const ended = new Promise((resolve) => n8n.once('exit', resolve));
    n8n.kill('SIGTERM');
    const killer = setTimeout(() => n8n.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(killer);
  }
  rmSync(home, { recursive: true, force: true });
}

try {
  // n8n answers before it has loaded its workflows.
  while (said.split('Activated workflow').length < 3) {
    if (n8n.exitCode !== null) throw new Error('n8n has ended');
    await sleep(200);
  }
  console.log(`listening on http://127.0.0.1:${port}/webhook/${path}`);
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(`executions ${JSON.stringify(await executions(Number(line)))}`);
  }
} finally {
  await stop();
}
