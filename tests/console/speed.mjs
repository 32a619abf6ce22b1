// How long the first byte of each page takes with 100,000 deliveries of one workspace in the database: a quarter of 40 webhooks,
// the others of one. Beside it are a workspace with 2,000 webhooks, and one in which 50,000 deliveries wait for a paused webhook.

import { execFileSync } from 'node:child_process';
import { Agent, request } from 'node:http';
import { TOKEN, World, receiver } from './world.mjs';

const LIMIT = 20;
const COUNT = 100_000;
const ROUNDS = 60;

// Rows as the program writes them, spread over 30 days; one in ten failed, clients fetched most of the others.
const FILL = `
import json, sqlite3, sys
path, hooks, count = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
db = sqlite3.connect(path)
content, = db.execute("SELECT content FROM events LIMIT 1").fetchone()
now, = db.execute("SELECT max(created_at) FROM deliveries").fetchone()
asset = "550e8400-e29b-41d4-a716-446655440000"
events, deliveries, attempts = [], [], []
for n in range(count):
    at = now - (n + 1) * 25_920
    failed = n % 10 == 3
    event, delivery = f"msg_f{n:08d}", f"dlv_f{n:08d}"
    endpoint = hooks[n // 4 % len(hooks)] if n % 4 == 0 else hooks[0]
    events.append((event, "acme", f"filled-{n}", False, content, asset, asset, at))
    status, summary = (401, "The receiver answered 401: it refuses the signature, or wants credentials.") if failed else (200, "Delivered: the receiver answered 200 after 0.3 s.")
    tries = 4 if failed else 1
    deliveries.append((delivery, event, endpoint, "acme", 0, "failed" if failed else "delivered", False, 0, at, tries, tries, status, summary, at // 1000 + 86400, None if failed else at + 5000, None, at, at + 300, at + 300))
    attempts += [(delivery, k + 1, at, 300, status, "unauthorized" if failed else "delivered", summary, "Does the receiver have this endpoint's current secret?" if failed else None, "no" if failed else "OK", at // 1000 + 86400) for k in range(tries)]
db.executemany("INSERT INTO events (id, workspace, call_id, test, content, recording, transcript, accepted_at) VALUES (?,?,?,?,?,?,?,?)", events)
db.executemany("INSERT INTO deliveries (id, event_id, endpoint_id, workspace, position, state, test, lane, due_at, tries, attempts, last_status, last_summary, links_expire_at, recording_fetched_at, transcript_fetched_at, created_at, ended_at, active_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", deliveries)
db.executemany("INSERT INTO attempts (delivery_id, number, started_at, took_ms, status, code, summary, advice, excerpt, links_expire_at) VALUES (?,?,?,?,?,?,?,?,?,?)", attempts)
db.row_factory = sqlite3.Row
row = dict(db.execute("SELECT * FROM endpoints LIMIT 1").fetchone())
row |= {"id": "ep_paused", "workspace": "paused", "description": "Paused", "state": "paused"}
db.execute(f"INSERT INTO endpoints ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
for n in range(50_000):
    at = now - (50_000 - n) * 1000
    db.execute("INSERT INTO events (id, workspace, call_id, test, content, recording, transcript, accepted_at) VALUES (?,?,?,?,?,?,?,?)",
        (f"msg_p{n:08d}", "paused", f"waiting-{n}", False, content, asset, asset, at))
    db.execute("INSERT INTO deliveries (id, event_id, endpoint_id, workspace, position, state, test, lane, due_at, tries, attempts, created_at, active_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (f"dlv_p{n:08d}", f"msg_p{n:08d}", "ep_paused", "paused", 0, "queued", False, 0, at, 0, 0, at, at))
row = dict(db.execute("SELECT * FROM endpoints LIMIT 1").fetchone())
for n in range(2000):
    row |= {"id": f"ep_many{n:04d}", "workspace": "many", "description": f"Team {n:04d}", "failing_since": now if n % 50 == 0 else None}
    db.execute(f"INSERT INTO endpoints ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
db.commit()
print(tuple(db.execute("SELECT count(*) FROM deliveries WHERE workspace = 'acme'").fetchone())[0])
`;

const world = await World.start();
const hook = await receiver();
const { id } = await world.api('POST', '/v1/workspaces/acme/endpoints', { url: hook.url });
await world.call('first');
await new Promise((wake) => setTimeout(wake, 500));
const others = [];
for (let number = 1; number < 40; number += 1) {
  const description = `Team ${number}`;
  others.push((await world.api('POST', '/v1/workspaces/acme/endpoints', { url: `${hook.url}/${number}`, description })).id);
}
await world.stop();
const filled = execFileSync('python3', ['-c', FILL, `${world.folder}/calls.db`, [id, ...others].join(), String(COUNT)], { encoding: 'utf8' });
await world.serve();

const agent = new Agent({ keepAlive: true });
/** Milliseconds until the first byte of the body, its status and size. */
const ask = (path, cookie) => new Promise((done, fail) => {
  const began = performance.now();
  const asked = request(`${world.admin}${path}`, { agent, headers: { cookie } }, (answer) => {
    let first;
    let size = 0;
    answer.on('data', (data) => {
      first ??= performance.now() - began;
      size += data.length;
    });
    answer.on('end', () => done({ first: first ?? performance.now() - began, status: answer.statusCode, size }));
  });
  asked.on('error', fail).end();
});

const signed = await fetch(`${world.admin}/console/sign-in`, {
  method: 'POST', redirect: 'manual', body: new URLSearchParams({ token: TOKEN }), headers: { origin: world.admin },
});
const cookie = signed.headers.get('set-cookie').split(';')[0];
const acme = '/console/w/acme';
const later = await ask(`${acme}/deliveries`, cookie).then(() => fetch(`${world.admin}${acme}/deliveries`, { headers: { cookie } }));
const next = (await later.text()).match(/rel="next" href="([^"]+)"/)[1].replaceAll('&#38;', '&');
const pages = {
  'workspaces': '/console',
  '40 webhooks': acme,
  '40 webhooks, next page': `${acme}?first=20`,
  'webhooks found': `${acme}?q=team`,
  '2,000 webhooks': '/console/w/many',
  '2,000 webhooks, one found': '/console/w/many?q=team+1999',
  'one webhook': `${acme}/webhooks/${id}`,
  'activity of one webhook': `${acme}/activity?webhook=${id}`,
  'deliveries': `${acme}/deliveries`,
  'deliveries, next page': next,
  'deliveries, failed': `${acme}/deliveries?status=failed`,
  'deliveries, failed of one webhook': `${acme}/deliveries?status=failed&webhook=${id}`,
  'deliveries, under way (none is)': `${acme}/deliveries?status=waiting`,
  'deliveries, under way of one webhook (none is)': `${acme}/deliveries?status=waiting&webhook=${id}`,
  'deliveries, 10 days back': `${acme}/deliveries?to=${new Date(Date.now() - 864e6).toISOString()}`,
  'deliveries, waiting for a paused webhook': '/console/w/paused/deliveries?status=queued',
  'deliveries, fetched': `${acme}/deliveries?pick_up=fetched`,
  'deliveries, fetched, of one webhook': `${acme}/deliveries?pick_up=fetched&webhook=${others[0]}`,
  'deliveries, not fetched': `${acme}/deliveries?pick_up=not-fetched`,
  'deliveries of one webhook': `${acme}/deliveries?webhook=${id}`,
  'deliveries of one call': `${acme}/deliveries?call=filled-77777`,
  'one delivery that failed': `${acme}/deliveries/dlv_f00000003`,
  'listen and read': `${acme}/deliveries/dlv_f00000001/listen`,
  'recover': `${acme}/recover`,
};
let slow = 0;
console.log(`first byte in ms over ${ROUNDS} requests, ${filled.trim()} deliveries`);
try {
  for (const [name, path] of Object.entries(pages)) {
    const times = [];
    let last;
    for (let round = 0; round < ROUNDS; round += 1) {
      last = await ask(path, cookie);
      times.push(last.first);
    }
    if (last.status !== 200) throw new Error(`${name}: ${last.status}`);
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(1).padStart(6);
    const over = times[Math.floor(times.length * 0.95)] > LIMIT;
    slow += over ? 1 : 0;
    console.log(`${name.padEnd(48)} median ${at(0.5)}  p95 ${at(0.95)}  most ${at(1)}  ${(last.size / 1000).toFixed(1).padStart(5)} KB${over ? '  SLOW' : ''}`);
  }
} finally {
  agent.destroy();
  hook.close();
  await world.end();
}
process.exit(slow > 0 ? 1 : 0);
