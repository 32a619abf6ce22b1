// Journeys on the list of webhooks, and on the page of one that fails.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { receiver, until } from './world.mjs';

// A day and a month of attempts for each webhook of a workspace, which the tests need not wait for.
const HISTORY = `
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=10)
hour = int(time.time()) // 3600
hooks = db.execute("SELECT id, description, failing_since FROM endpoints WHERE workspace = ? ORDER BY id", (sys.argv[2],)).fetchall()
for at, (hook, name, failing) in enumerate(hooks):
    for ago in range(1, 720):
        if (at + ago) % 7 == 0: continue
        count = 3 + (at * 7 + ago * 5) % 11
        fails = count if failing and ago < 5 else (1 if (at + ago) % 13 == 0 else 0)
        for below, ok, bad in [(200, count - fails, 0), (400, (ago + at) % 3, 0), (100, 0, fails)]:
            if ok + bad > 0:
                db.execute("INSERT OR REPLACE INTO endpoint_hours VALUES (?, ?, ?, ?, ?, ?)", (hook, hour - ago, below, ok, bad, (hour - ago) * 3600000 if ok else 0))
db.commit()
`;

const HEALTH = `
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=10)
now = int(time.time() * 1000)
for name, since, held, state in [("Team 07", 20000, None, "active"), ("Team 23", 5000000, 4000000, "active"), ("Team 31", 90000, 30000, "active"), ("Team 12", None, None, "paused"), ("Team 36", 400000000, None, "disabled")]:
    db.execute("UPDATE endpoints SET state = ?, failures = 30, failing_since = ?, held_since = ?, held_until = ?, failure_code = 'server_error', failure = 'The receiver failed (503).' WHERE workspace = ? AND description LIKE ?",
        (state, since and now - since, held and now - held, held and now + 600000, sys.argv[2], name + "%"))
db.commit()
`;

const TEAMS = 40;

export function webhookJourneys({ journey, phone, person, look, press, says, heading, portalLink, world }) {
  const teams = `${world.console}/w/teams`;
  const python = (code, workspace = 'teams') => execFileSync('python3', ['-c', code, join(world.folder, 'calls.db'), workspace]);
  let page;

  journey('of forty webhooks those that fail come first, and one is found by its name or host', async () => {
    const hosts = ['hooks.zapier.com/hooks/catch/1842/3kx9a2', 'n8n.example.org/webhook/7f1c', 'crm.example.com/calls'];
    for (let number = 0; number < TEAMS; number += 1) {
      const url = `https://${hosts[number % hosts.length]}/${number}`;
      await world.api('POST', '/v1/workspaces/teams/endpoints', { url, description: `Team ${String(number).padStart(2, '0')}, calls` });
    }
    python(HEALTH);
    python(HISTORY);
    page = await person();
    await page.goto(await portalLink(true, 'teams'));
    const rows = page.locator('.hooks tbody tr');
    await rows.nth(19).waitFor();
    const named = (await page.locator('.hooks .main a').allTextContents()).slice(0, 6).map((name) => name.slice(0, 7));
    assert.deepEqual(named, ['Team 07', 'Team 23', 'Team 31', 'Team 36', 'Team 12', 'Team 00']);
    const drawn = page.getByRole('img', { name: /^Last 24 hours: \d+ attempts, \d+ succeeded, \d+ failed; the median answer took \d+ ms$/ });
    assert.equal(await drawn.count(), 20);
    // Twenty end within the screen of a desk; on a phone the first that fails does.
    const shown = await (phone ? rows.first() : page.locator('.hooks')).boundingBox();
    assert.ok(shown.y + shown.height < (phone ? 844 : 1000), `they end at ${shown.y + shown.height} pixels`);
    await look(page, 'webhooks-forty');
    // By keyboard alone.
    await page.getByRole('searchbox').focus();
    await page.keyboard.type('crm.example');
    await page.keyboard.press('Enter');
    await says(page, '13 of 40 webhooks');
    assert.equal(new URL(page.url()).searchParams.get('q'), 'crm.example');
    await look(page, 'webhooks-found');
    await page.getByRole('searchbox').fill('nobody');
    await press(page, 'Search');
    await says(page, 'No webhook has “nobody”');
    await page.getByRole('link', { name: 'Show all' }).first().click();
    await page.getByRole('link', { name: 'Next' }).click();
    await page.getByRole('link', { name: 'Team 39' }).waitFor();
    await page.goto(`${teams}?lang=fr`);
    await page.getByRole('img', { name: /^Dernières 24 heures : \d+ tentatives/ }).first().waitFor();
    await look(page, 'webhooks-forty-french');
    await page.goto(`${teams}?lang=en`);
  });

  journey('a failing webhook says why, and is tried and sent what failed in place', async () => {
    const down = await receiver();
    down.react = () => ({ status: 503, body: 'down' });
    await world.api('POST', '/v1/workspaces/failing/endpoints', { url: down.url, description: 'CRM' });
    for (const id of ['one', 'two', 'three']) await world.call(`down-${id}`, { workspace: 'failing' });
    page = await person();
    await page.goto(await portalLink(true, 'failing'));
    await page.getByRole('link', { name: 'CRM' }).first().click();
    await page.getByRole('button', { name: 'Send the 3 that failed' }).waitFor();
    python(HISTORY, 'failing');
    await page.reload();
    await says(page, 'Every attempt has failed since');
    await page.getByRole('img', { name: /^Last 30 days: [\d,]+ attempts/ }).waitFor();
    await page.locator('#figures summary').first().press('Enter');
    await page.locator('#figures table').first().getByRole('rowheader').nth(23).waitFor();
    await look(page, 'webhook-failing');
    down.react = () => ({ status: 200, body: 'OK' });
    const before = down.received.length;
    // A double click tries once.
    await page.getByRole('button', { name: 'Try it now with a test event' }).dblclick();
    await page.waitForFunction(() => !location.pathname.endsWith('/try'));
    await page.goto(`${world.console}/w/failing`);
    await page.locator('.hooks .pill.good').waitFor();
    await page.waitForTimeout(300);
    assert.equal(down.received.length, before + 1, 'one test event');
    await page.getByRole('link', { name: 'CRM' }).first().click();
    await says(page, '3 deliveries failed.');
    await page.getByRole('button', { name: 'Send the 3 that failed' }).dblclick();
    await page.waitForURL(/\/recover/);
    await page.goto(`${world.console}/w/failing`);
    await page.locator('.hooks').waitFor();
    await until('three deliveries', () => down.received.length >= before + 4);
    assert.equal(down.received.length, before + 4, 'three deliveries');
    // Limits, by keyboard alone.
    await page.getByRole('link', { name: 'CRM' }).first().click();
    await page.getByText('How fast it gets them').press('Enter');
    await page.getByLabel('Requests at once').fill('4');
    await look(page, 'webhook-limits');
    await page.getByLabel('Requests at once').press('Enter');
    await says(page, 'requests at once: none → 4');
    await look(page, 'webhook-changed');
    await page.locator('#changes').getByRole('link', { name: 'Show all' }).click();
    await says(page, 'Webhook tried at once');
    await page.goto(`${page.url()}&lang=fr`);
    await says(page, 'requêtes simultanées : aucune → 4');
    await page.goto(`${page.url().replace('lang=fr', 'lang=en')}`);
    down.close();
  });
}
