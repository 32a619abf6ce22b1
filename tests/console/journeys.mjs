// Every journey of a person, in Chromium. With `nginx [PREFIX]`, the main ones through the nginx of deploy/. With `only TEXT…`, those
// whose name has one of the texts, after those that they build on. WAY: how they act (ways.mjs).

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { onboardingJourneys } from './onboarding.mjs';
import { sessionJourneys } from './sessions.mjs';
import { liveJourneys } from './live.mjs';
import { playerJourneys } from './player.mjs';
import { WAY, WIDTHS, actInTheirWay, phone, tabTo } from './ways.mjs';
import { webhookJourneys } from './webhooks.mjs';
import { CALL, PATIENCE, TOKEN, World, receiver, root, until } from './world.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const colours = phone ? 'dark' : 'light';
const shots = `${root}/target/console/${WAY === 'mouse' ? 'shots' : `shots-${WAY}`}`;
mkdirSync(shots, { recursive: true });

const [mode, ...texts] = process.argv.slice(2);
const nginx = mode === 'nginx';
const prefix = (nginx && texts[0]) || '';
const world = await World.start({ nginx, prefix });
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--host-resolver-rules=MAP hooks.example.com 127.0.0.1'],
});
await actInTheirWay(browser);
const complaints = [];
// The last person to open a page: when a journey fails, the test shows what was on it.
let latest;

/** A person with a fresh browser; keeps every complaint of the browser. */
async function person(options = {}) {
  const context = await browser.newContext({
    baseURL: world.site, ignoreHTTPSErrors: nginx, viewport: { width: 1200, height: 850 }, ...phone, locale: 'en-GB', timezoneId: 'Europe/Paris',
    ...options,
  });
  const page = await context.newPage();
  latest = page;
  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error}`));
  page.on('console', (message) => {
    // The browser reports a page that answers 403, 404 or 422 as an error to load it.
    if (message.type() === 'error' && !/status of (403|404|422)/.test(message.text())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol.startsWith('http') && ![world.site, world.links].includes(origin)) complaints.push(`a foreign host: ${request.url()}`);
  });
  return page;
}

const RULES = { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] };
// Dark mode differs in colours only.
const COLOURS = { runOnly: { type: 'rule', values: ['color-contrast', 'link-in-text-block'] } };

/** Checks a page against axe-core's rules in light and dark and takes screenshots, on a phone too. */
async function look(page, name) {
  // The pages are the same through nginx.
  if (nginx) {
    await page.screenshot({ path: `${shots}/nginx${prefix.replace('/', '-')}-${name}.png`, fullPage: true });
    return;
  }
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    // Playwright evaluates outside the page's policy.
    await page.evaluate(`window.axe ?? (() => { ${axe} })()`);
    const { violations } = await page.evaluate((rules) => window.axe.run(rules), colorScheme === 'light' ? RULES : COLOURS);
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
    assert.deepEqual(found, [], `${name}, ${colorScheme}`);
    await page.screenshot({ path: `${shots}/${name}-${colorScheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: colours, reducedMotion: 'reduce' });
  const size = page.viewportSize();
  for (const [narrow, width] of Object.entries(WIDTHS)) {
    await page.setViewportSize({ width, height: 844 });
    const wide = await page.evaluate(() => (document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')]
      .filter((it) => it.clientWidth > 0 && it.scrollWidth > it.clientWidth).map(({ outerHTML }) => outerHTML.slice(0, 100))));
    assert.deepEqual(wide, [], `${name} is too wide for a phone of ${width} pixels`);
    await page.screenshot({ path: `${shots}/${name}-${narrow}.png`, fullPage: true });
  }
  await page.setViewportSize(size);
  // The pictures of the README and the guide.
  if (['delivery-test', 'listen', 'webhooks-forty'].includes(name)) {
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.screenshot({ path: `${shots}/${name}.png` });
  }
}

/** Waits until the receiver has got what `wanted` says of its body. */
async function received(wanted) {
  const bodies = () => hook.received.map(({ body, headers }) => ({ ...JSON.parse(body), headers }));
  return until(`the receiver got ${wanted}`, () => bodies().find(wanted));
}

const journeys = [];
const journey = (name, walk) => journeys.push([name, walk]);
/** A journey that is walked through nginx, too. */
const mainJourney = (name, walk) => journeys.push([name, walk, true]);
const hook = await receiver();
const acme = `${world.console}/w/acme`;
let customer;
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const heading = (page) => page.getByRole('heading', { level: 1 });
const says = (page, text) => page.getByText(text).first().waitFor();

async function portalLink(listen = true, workspace = 'acme') {
  const { url } = await world.api('POST', `/v1/workspaces/${workspace}/portal-links`, { listen });
  assert.ok(url.startsWith(`${world.site}${world.console}/enter?pass=`), url);
  return url;
}

mainJourney('without a link there is no page', async () => {
  const page = await person();
  const answer = await page.goto(`${acme}/deliveries`);
  assert.equal(answer.status(), 403);
  await says(page, 'Please come by a link');
  await look(page, 'no-link');
});

mainJourney('the operator signs in with the token', async () => {
  const page = await person();
  await page.goto(world.console);
  await page.getByRole('link', { name: 'Sign in as the operator' }).click();
  await look(page, 'sign-in');
  await page.getByLabel('Operator’s token').fill('a-wrong-token-0123456789');
  await press(page, 'Sign in');
  await says(page, 'That is not the token');
  await page.getByLabel('Operator’s token').fill(TOKEN);
  await press(page, 'Sign in');
  await says(page, 'No workspace has a webhook yet');
  await look(page, 'workspaces-none');
  await page.getByLabel('Open a workspace').fill('acme');
  await press(page, 'Open');
  await says(page, 'No webhook yet');
  await press(page, 'Sign out');
  await says(page, 'You are signed out');
  assert.equal((await page.goto(acme)).status(), 403);
});

mainJourney('a customer comes by a portal link, which works once', async () => {
  customer = await person();
  const link = await portalLink();
  await customer.goto(link);
  await heading(customer).filter({ hasText: 'Webhooks' }).waitFor();
  assert.equal(new URL(customer.url()).pathname, acme);
  const [cookie] = (await customer.context().cookies()).filter(({ name }) => name === 'webhook_assets_session');
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.secure, cookie.path], [true, 'Lax', nginx, world.console]);
  await look(customer, 'webhooks-none');
  const other = await person({ javaScriptEnabled: false });
  await other.goto(link);
  await press(other, 'Go on');
  await says(other, 'It was used before');
  const quiet = await person();
  assert.equal((await customer.goto(`${world.console}/w/other`)).status(), 404);
  await look(customer, 'not-found');
  await quiet.close();
});

mainJourney('a URL is checked while it is typed and when it is saved', async () => {
  const page = customer;
  await page.goto(acme);
  await page.getByRole('link', { name: 'A program of your own' }).click();
  const url = page.getByLabel('URL', { exact: true });
  await url.fill('ftp://example.com/');
  await says(page, 'ftp: is not allowed: use https://');
  await url.fill('http://10.0.0.5/hook');
  await says(page, '10.0.0.5 is a private address');
  await url.fill('http://127.0.0.1:1/webhook/7f1c');
  await url.blur();
  await says(page, 'The connection was refused');
  await says(page, 'Set its HTTP Method to POST');
  hook.allow = 'GET, HEAD';
  await url.fill(hook.url);
  await press(page, 'Save');
  await says(page, 'and no POST');
  await look(page, 'new-webhook-warned');
  hook.allow = 'POST';
  await press(page, 'Save');
  await says(page, 'The webhook is added');
  await look(page, 'webhook-added');
  assert.equal(hook.received.length, 0, 'a look sends nothing');
});

mainJourney('the secret is shown when asked for, copied, and replaced', async () => {
  const page = customer;
  assert.ok(!(await page.content()).includes('whsec_A') && !/whsec_[A-Za-z0-9+/]{8}/.test(await page.content()));
  await press(page, 'Show secret');
  const secret = await page.locator('#secret').textContent();
  assert.match(secret, /^whsec_[A-Za-z0-9+/=]{40,}$/);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.locator('#secret-card').getByRole('button', { name: 'Copy' }).first().click();
  await says(page, 'Copied');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  assert.ok((await page.locator('#own-code-setup').textContent()).includes(secret));
  await look(page, 'webhook-secret');
  await page.getByText('Replace the secret').click();
  await press(page, 'Make a new secret');
  await says(page, 'This is the new secret');
  const replaced = await page.locator('#secret').textContent();
  assert.notEqual(replaced, secret);
  await look(page, 'webhook-secret-replaced');
  await page.reload();
  assert.equal(await page.locator('#secret').textContent(), replaced, 'a reload makes no other');
  await page.getByRole('link', { name: 'Hide it' }).click();
  await says(page, 'The secret before it is valid too, until');
  assert.ok(!/whsec_[A-Za-z0-9+/]{8}/.test(await page.content()));
});

mainJourney('a test event is watched while it arrives, and its links work', async () => {
  const page = customer;
  hook.react = (request, body, count) => (count === 1 ? { status: 500, body: '<b>first</b> try', wait: 300 } : { status: 200, body: 'OK', wait: 300 });
  await press(page, 'Send test event');
  await says(page, 'The receiver answered 500');
  await says(page, 'What to do:');
  await page.locator('#state .pill.good').waitFor();
  assert.equal(await page.locator('.attempt').count(), 2);
  const event = JSON.parse(hook.received.at(-1).body);
  assert.equal(event.test, true);
  const [recording, transcript] = await Promise.all([event.call.recording_url, event.call.transcript_url].map((url) => fetch(url)));
  assert.deepEqual([recording.headers.get('content-type'), (await transcript.json()).schema], ['audio/mpeg', 'call-transcript/1']);
  await recording.arrayBuffer();
  // The page of a delivered delivery does not change by itself.
  await until('the page says when both were fetched', async () => {
    await page.reload();
    return await page.locator('#facts time').count() >= 5;
  });
  await page.getByText('The receiver’s answer').last().click();
  await look(page, 'delivery-test');
});

journey('the payload is shown as it was sent, and its curl command sends the same', async () => {
  const page = customer;
  assert.ok(!/sig=[0-9a-f]{64}/.test(await page.content()), 'no link stands in the page');
  await press(page, 'Show with its links');
  await page.getByText('Raw, byte for byte').click();
  const raw = await page.locator('#raw').textContent();
  assert.equal(raw, hook.received.at(-1).body.toString());
  await page.getByText('As a curl command').click();
  const command = await page.locator('#curl').textContent();
  await look(page, 'delivery-payload');
  const before = hook.received.length;
  await promisify(execFile)('sh', ['-c', `curl -s -m 10 ${command.slice('curl '.length)}`]);
  const again = hook.received.at(-1);
  assert.equal(hook.received.length, before + 1);
  assert.equal(again.body.toString(), raw);
  await page.goto(page.url().replace('/links', ''));
  await page.getByRole('definition').getByRole('link').first().click();
  await press(page, 'Show secret');
  const secret = await page.locator('#secret').textContent();
  assert.equal(createHmac('sha256', secret).update(again.body).digest('hex'), again.headers['x-webhook-signature']);
});

mainJourney('calls appear by themselves and are found', async () => {
  const page = customer;
  hook.react = () => ({ status: 200, body: 'OK' });
  await page.goto(`${acme}/deliveries`);
  await world.call('call-42');
  await page.getByRole('link', { name: 'call-42' }).waitFor();
  for (let number = 0; number < 30; number += 1) await world.call(`call-${100 + number}`);
  await page.getByRole('link', { name: 'call-129' }).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 25);
  await page.getByRole('link', { name: 'Older' }).click();
  await page.getByRole('link', { name: 'call-42' }).waitFor();
  await page.getByRole('link', { name: 'Newest' }).click();
  await page.getByLabel('Call id').fill('call-42');
  await press(page, 'Search');
  assert.equal(await page.locator('tbody tr').count(), 1);
  await page.getByRole('link', { name: 'Clear' }).click();
  await page.getByLabel('Status').selectOption('failed');
  await page.getByLabel('Last activity').selectOption('24h');
  await press(page, 'Search');
  await says(page, 'Nothing found');
  // As a distance from now, with the exact time in the person's time zone.
  await page.goto(`${acme}/deliveries?call=call-42`);
  const shown = await page.locator('tbody time').first().textContent();
  const iso = await page.locator('tbody time').first().getAttribute('datetime');
  assert.match(shown, /^(just now|\d+ (seconds?|minutes?) ago)$/);
  const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long', timeZone: 'Europe/Paris' }).format(new Date(iso));
  assert.equal(await page.locator('tbody time').first().getAttribute('title'), `${exact} · ${iso}`);
  await page.getByText('A range of your own').click();
  await page.getByLabel('From').fill('2030-01-01T00:00:00');
  await press(page, 'Search');
  await says(page, 'Nothing found');
  assert.equal(new URL(page.url()).searchParams.get('from'), '2029-12-31T23:00:00.000Z');
});

// The journeys until here are those that others build on.
const firsts = journeys.length;

journey('what failed is diagnosed, sent again, and recovered with a bar that moves', async () => {
  const page = customer;
  hook.react = () => ({ status: 401, body: '<script>alert(1)</script> "wrong signature"' });
  for (let number = 0; number < 8; number += 1) await world.call(`lost-${number}`);
  await page.goto(`${acme}/deliveries?status=failed`);
  await page.getByRole('link', { name: 'lost-7' }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 8);
  await look(page, 'deliveries-failed');
  await page.getByRole('link', { name: 'lost-7' }).click();
  await says(page, 'Does the receiver have this endpoint\'s current secret?');
  await says(page, '<script>alert(1)</script>');
  await look(page, 'delivery-failed');
  hook.react = () => ({ status: 200, body: 'OK', wait: 400 });
  await press(page, 'Send again');
  await says(page, 'It is sent again');
  await page.locator('#state .pill.good').waitFor();
  await page.getByRole('link', { name: 'Recover' }).click();
  await look(page, 'recover');
  hook.react = () => ({ status: 200, body: 'OK', wait: 1500 });
  await press(page, 'Send them again');
  await page.locator('progress').waitFor();
  await look(page, 'recover-running');
  await says(page, 'All of it was sent again');
  assert.equal(await page.locator('progress').getAttribute('value'), await page.locator('progress').getAttribute('max'));
  await look(page, 'recover-done');
});

journey('deliveries are chosen, sent again once, and exported', async () => {
  const page = await person({ acceptDownloads: true });
  hook.react = () => ({ status: 200, body: 'OK' });
  for (const [description, url] of [['CRM', hook.url], ['Nowhere', 'http://127.0.0.1:1/hook']]) {
    await world.api('POST', '/v1/workspaces/chosen/endpoints', { url, description });
  }
  for (let number = 0; number < 3; number += 1) await world.call(`chosen-${number}`, { workspace: 'chosen' });
  await page.goto(await portalLink(true, 'chosen'));
  await heading(page).waitFor();
  const list = `${world.console}/w/chosen/deliveries`;
  await page.goto(`${list}?status=failed`);
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 3);
  await says(page, 'The connection was refused');
  await page.goto(list);
  await says(page, 'John Doe · Acme Inc');
  // By keyboard, and what is ticked stays while the list is updated.
  const tick = page.getByRole('checkbox', { name: 'Select chosen-0' }).first();
  await tick.focus();
  await page.keyboard.press('Space');
  await page.waitForTimeout(2_500);
  assert.ok(await tick.isChecked(), 'a tick stays');
  await look(page, 'deliveries-chosen');
  await page.getByLabel('Select all on this page').check();
  assert.equal(await page.getByRole('checkbox', { checked: true }).count(), 7);
  const form = await page.evaluate(() => new URLSearchParams(new FormData(document.getElementById('chosen'))).toString());
  const before = hook.received.length;
  await press(page, 'Send the selected again');
  await says(page, '6 deliveries are sent again, with fresh links.');
  const twice = await page.evaluate(async (body) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return (await fetch(document.getElementById('chosen').action, { method: 'POST', headers, body })).text();
  }, form);
  assert.ok(twice.includes('6 deliveries are sent again'), 'the answer of the first one');
  await page.getByLabel('Webhook', { exact: true }).selectOption({ label: 'CRM' });
  await page.getByLabel('Status').selectOption('delivered');
  await press(page, 'Search');
  await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 3);
  assert.equal(hook.received.length, before + 3, 'each is sent once');
  await page.getByRole('link', { name: 'Select all that match' }).click();
  await says(page, '3 deliveries match.');
  await look(page, 'deliveries-all');
  await press(page, 'Send all of them again');
  await says(page, '3 deliveries are sent again, with fresh links.');
  assert.ok(new URL(page.url()).searchParams.get('webhook').startsWith('ep_'), 'the search stays in the address');
  await page.goto(list);
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export as CSV' }).click()]);
  assert.match(file.suggestedFilename(), /^deliveries-\d{4}-\d\d-\d\d\.csv$/);
  assert.equal(readFileSync(await file.path(), 'utf8').split('\r\n').length, 8, 'the heads, six deliveries, and an end of line');
  await page.goto(`${list}?status=delivered`);
  await page.getByRole('link', { name: 'chosen-0' }).first().click();
  await page.locator('.attempt').nth(1).waitFor();
  await page.getByText('Header fields').first().click();
  await says(page, 'x-webhook-signature');
  await says(page, 'first byte');
  await look(page, 'delivery-fields');
  await page.goto(`${list}?webhook=&call=chosen-1`);
  await page.getByRole('row').filter({ hasText: 'Nowhere' }).getByRole('link').click();
  await says(page, 'The connection was refused');
  assert.equal(await page.getByText('What to do:').count(), 1, 'advice is given once');
  await look(page, 'delivery-refused');
  await page.context().close();
});

mainJourney('a recording is heard with its transcript following', async () => {
  const page = customer;
  await page.goto(`${acme}/deliveries?call=call-42`);
  await page.getByRole('link', { name: 'call-42' }).click();
  await page.getByRole('link', { name: 'Listen and read' }).click();
  assert.ok(!/sig=[0-9a-f]{64}/.test(await page.content()), 'no link stands in the page');
  await page.waitForFunction(() => document.querySelector('#audio').readyState >= 1);
  await page.locator('.transcript li .at').nth(3).click();
  await page.waitForFunction(() => !document.querySelector('#audio').paused && document.querySelector('#audio').currentTime > 0);
  await page.locator('.transcript li.now').waitFor();
  const start = Number(await page.locator('.transcript li').nth(3).getAttribute('data-start'));
  assert.ok(await page.evaluate(() => document.querySelector('#audio').currentTime * 1000) >= start);
  await page.evaluate(() => document.querySelector('#audio').pause());
  // The captions are shown, with the speaker as voice, from this page's own address.
  const captions = await page.evaluate(() => {
    const [track] = document.querySelector('#audio').textTracks;
    const cues = [...track.cues ?? []].map(({ startTime, text }) => [startTime, text]);
    return { mode: track.mode, kind: track.kind, language: track.language, shown: track.activeCues.length, cues };
  });
  assert.deepEqual([captions.mode, captions.kind, captions.language], ['showing', 'captions', 'en']);
  assert.deepEqual(captions.cues[0], [0.25, '<v Jane Smith>Hi John, this is Jane Smith. Our calls are recorded. Is now a good time?']);
  assert.equal(captions.cues.length, await page.locator('.transcript li').count());
  assert.equal(captions.shown, 1);
  const isSubtitles = (answer) => answer.url().includes('format=srt') && answer.status() === 200;
  const [subtitles] = await Promise.all([page.waitForResponse(isSubtitles), page.getByRole('link', { name: '(.srt)' }).click()]);
  assert.equal(subtitles.headers()['content-type'], 'application/x-subrip');
  await look(page, 'listen');
  // A person who may not listen.
  const deaf = await person();
  await deaf.goto(await portalLink(false));
  await heading(deaf).filter({ hasText: 'Webhooks' }).waitFor();
  const path = new URL(page.url()).pathname;
  for (const closed of [path, path.replace('/listen', '/recording'), path.replace('/listen', '/transcript')]) {
    assert.equal((await deaf.goto(closed)).status(), 403, closed);
  }
  await look(deaf, 'not-allowed');
  await deaf.goto(path.replace('/listen', ''));
  assert.equal(await deaf.getByRole('link', { name: 'Listen and read' }).count(), 0);
  assert.equal(await deaf.getByRole('button', { name: 'Show with its links' }).count(), 0);
});

mainJourney('a webhook is changed, paused, removed, and taken back', async () => {
  const page = customer;
  await page.goto(acme);
  await look(page, 'webhooks');
  await page.locator('.hooks a').click();
  await page.getByLabel('Description').fill('CRM & <i>friends</i>');
  await press(page, 'Save the changes');
  await says(page, 'The changes are saved');
  await heading(page).filter({ hasText: 'CRM & <i>friends</i>' }).waitFor();
  await press(page, 'Pause');
  await says(page, 'events wait until you resume it');
  await look(page, 'webhook-paused');
  await press(page, 'Resume');
  await says(page, 'The webhook goes on');
  await press(page, 'Remove this webhook');
  await says(page, 'It can be taken back for an hour');
  await look(page, 'webhooks-removed');
  await press(page, 'Undo');
  await says(page, 'The webhook is back as it was');
});

journey('a webhook on hold says since when, why, and what follows', async () => {
  const page = customer;
  await page.goto(acme);
  await page.locator('.hooks a').first().click();
  await page.locator('#state .pill.good').waitFor();
  const at = page.url();
  // Sixty seconds of failures would have the same effect.
  const [now, id] = [Date.now(), new URL(at).pathname.split('/').at(-1)];
  const hold = `import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=5); db.execute("UPDATE endpoints SET failures = 30,
    failing_since = ?, held_since = ?, held_until = ?, failure_code = 'server_error', failure = 'The receiver answered 503.' WHERE id = ?",
    [*map(int, sys.argv[2:5]), sys.argv[5]]); db.commit()`.replace(/\n\s*/g, ' ');
  execFileSync('python3', ['-c', hold, join(world.folder, 'calls.db'), now - 90_000, now - 30_000, now + 600_000, id].map(String));
  await page.locator('#state').filter({ hasText: 'On hold' }).waitFor();
  await says(page, 'Every attempt has failed since');
  await says(page, 'The receiver answered 503.');
  await says(page, 'The next attempt is on');
  await look(page, 'webhook-on-hold');
  await page.goto(`${at}?lang=fr`);
  await says(page, 'Les nouvelles livraisons attendent depuis le');
  await look(page, 'webhook-on-hold-french');
  await page.goto(`${at}?lang=en`);
  hook.react = () => ({ status: 200, body: 'OK' });
  await press(page, 'Send test event');
  await page.locator('#state .pill.good').waitFor();
  await page.goto(at);
  await page.locator('#state .pill.good').filter({ hasText: 'Active' }).waitFor();
});

journey('filter, headers and late assets are set with the keyboard alone', async () => {
  const page = customer;
  hook.react = () => ({ status: 200, body: 'OK' });
  await page.goto(acme);
  await page.locator('.hooks a').first().click();
  const webhook = page.url();
  const keys = async (...names) => { for (const name of names) await page.keyboard.press(name); };
  await tabTo(page, 'Which calls it gets');
  await keys('Enter');
  await tabTo(page, 'Connected');
  await keys('Space');
  await tabTo(page, 'Direction');
  await page.keyboard.type('Only outgoing');
  await tabTo(page, 'Headers and credentials');
  await keys('Enter');
  await tabTo(page, 'Name of a header');
  await page.keyboard.type('Webhook-Id');
  await tabTo(page, 'Its value');
  await page.keyboard.type('s3cret-of-the-crm');
  await keys('Enter');
  await says(page, 'The header Webhook-Id is set by the sender itself');
  await look(page, 'webhook-header-refused');
  await page.getByLabel('Name of a header').fill('X-CRM-Key');
  await page.getByLabel('Its value').fill('s3cret-of-the-crm');
  await page.getByLabel('Name of a header').focus();
  await tabTo(page, 'When a recording or transcript arrives');
  await keys('Space');
  await tabTo(page, 'Save the changes');
  await keys('Enter');
  await says(page, 'The changes are saved');
  assert.equal(page.url().split('?')[0], webhook.split('?')[0]);
  assert.ok(await page.getByLabel('Connected').isChecked());
  assert.equal(await page.getByLabel('Direction').inputValue(), 'outgoing');
  assert.ok(!(await page.content()).includes('s3cret-of-the-crm'), 'a value is not shown again');
  await look(page, 'webhook-choices');
  await world.call('unwanted-1', {}, { status: 'missed', duration_seconds: 0 });
  await world.call('wanted-1');
  const wanted = await received(({ call }) => call.id === 'wanted-1');
  assert.equal(wanted.headers['x-crm-key'], 's3cret-of-the-crm');
  assert.ok(!hook.received.some(({ body }) => JSON.parse(body).call.id === 'unwanted-1'), 'the filter holds');
});

journey('a late recording follows its call', async () => {
  const page = customer;
  await world.call('late-1', { recording: null, transcript: null });
  await received(({ call }) => call.id === 'late-1');
  await page.goto(`${acme}/deliveries?call=late-1`);
  await page.locator('tbody .pill.good').waitFor();
  await world.api('POST', '/v1/calls/late-1/assets', { workspace: 'acme', recording: CALL, transcript: CALL });
  const late = await received(({ event, call }) => event === 'call.updated' && call.id === 'late-1');
  assert.ok(late.call.recording_url.startsWith(world.gateway));
  await page.waitForFunction(() => document.querySelectorAll('tbody .pill.good').length === 2);
  await page.locator('.pill', { hasText: 'Update' }).first().waitFor();
  await look(page, 'deliveries-late');
});

journey('earlier calls are counted and sent to a new webhook', async () => {
  const newcomers = '/v1/workspaces/newcomers/endpoints';
  for (let number = 0; number < 3; number += 1) await world.call(`early-${number}`, { workspace: 'newcomers' });
  const { id } = await world.api('POST', newcomers, { url: `${hook.url}/new`, description: 'Newcomer' });
  const page = await person();
  await page.goto(await portalLink(true, 'newcomers'));
  await page.goto(`${world.console}/w/newcomers/webhooks/${id}`);
  const before = hook.received.length;
  await tabTo(page, 'Accepted within');
  await tabTo(page, 'Only count them');
  await page.keyboard.press('Enter');
  await says(page, '3 calls would be sent');
  // The answer is in sight.
  await page.waitForFunction(() => document.getElementById('backfill').getBoundingClientRect().top < innerHeight);
  assert.equal(hook.received.length, before, 'a count sends nothing');
  await look(page, 'webhook-backfill');
  await press(page, 'Send them');
  await says(page, '3 calls are on their way');
  await received(({ call }) => call.id === 'early-2');
  assert.ok(hook.received.slice(before).every(({ url }) => url === '/hook/new'));
});

journey('a call is found by what is known of it, with the keyboard alone', async () => {
  const page = customer;
  await page.goto(acme);
  await tabTo(page, 'Find a call');
  await page.keyboard.press('Enter');
  await heading(page).filter({ hasText: 'Find a call' }).waitFor();
  const find = async (text) => {
    await tabTo(page, 'What do you know of it?');
    await page.keyboard.press('Control+A');
    await page.keyboard.type(text);
    await page.keyboard.press('Enter');
  };
  await find('nothing-of-this');
  await says(page, 'Nothing found');
  await look(page, 'find-nothing');
  await find('+33 6 00 00 00 00');
  await page.locator('.list .item').nth(10).waitFor();
  assert.equal(page.url(), `${world.admin}${acme}/find`, 'what is looked for is in no address');
  await look(page, 'find');
  const [link] = world.run('mint', 'recording', CALL).trim().split('\n');
  await find(link.replaceAll('&', '&amp;'));
  await says(page, 'HTML-escaped');
  await says(page, 'Without that it is good');
  await look(page, 'find-link');
  await find('late-1');
  await heading(page).filter({ hasText: 'late-1' }).waitFor();
  await page.locator('.pill', { hasText: 'Update' }).first().waitFor();
  await look(page, 'call');
  await page.goto(`${acme}/calls/none`);
  await says(page, 'There is nothing here');
});

/** What the table of activities says, which holds no JSON and no name of the program's own. */
async function activity(page) {
  const text = await page.locator('table.activity').innerText();
  const raw = text.replace(/\b(dlv|ep)_\w+/g, '').split('\n').find((line) => /[{}[\]"_]|\b(null|true|false)\b/.test(line));
  assert.equal(raw, undefined);
  return text;
}

journey('the activity says in words who did what', async () => {
  const { url } = await world.api('POST', '/v1/workspaces/acme/portal-links', { name: 'Jane Doe' });
  const page = await person();
  await page.goto(url);
  await tabTo(page, 'Activity');
  await page.keyboard.press('Enter');
  await heading(page).filter({ hasText: 'Activity' }).waitFor();
  const text = await activity(page);
  for (const words of ['Jane Doe', 'Signed in', 'Webhook changed', 'connected, outgoing', 'headers with a new value: X-CRM-Key', 'no → yes',
    'Webhook removed', 'active → paused']) {
    assert.ok(text.includes(words), `${words} is missing in ${text}`);
  }
  await look(page, 'activity');
  if (await page.getByRole('link', { name: 'Older' }).count() > 0) {
    await tabTo(page, 'Older');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Newest' }).waitFor();
    await activity(page);
  }
});

mainJourney('everything works without a script but what is live', async () => {
  const page = await person({ javaScriptEnabled: false });
  await page.goto(await portalLink());
  await press(page, 'Go on');
  await page.getByRole('link', { name: 'Add a webhook' }).click();
  await page.getByLabel('URL', { exact: true }).fill('http://10.0.0.5/');
  await press(page, 'Save');
  await says(page, '10.0.0.5 is a private address');
  await page.getByLabel('URL', { exact: true }).fill(`${hook.url}/2`);
  await page.getByLabel('Description').fill('Without a script');
  await press(page, 'Save');
  await press(page, 'Show secret');
  assert.match(await page.locator('#secret').textContent(), /^whsec_/);
  hook.react = () => ({ status: 200, body: 'OK' });
  await press(page, 'Send test event');
  // Without a script nothing changes by itself.
  await until('the test event is delivered', async () => {
    await page.reload();
    return page.locator('#state .pill.good').count();
  });
  await page.getByRole('link', { name: 'Listen and read' }).click();
  assert.ok(await page.locator('.transcript li').count() > 5);
  assert.equal(await page.locator('#audio track[kind=captions][default]').count(), 1, 'captions need no script');
  await page.goto(`${acme}/recover`);
  await press(page, 'Send them again');
  await says(page, 'There is nothing to send again in this time');
  await page.goto(acme);
  await page.getByRole('link', { name: 'Without a script' }).first().click();
  await press(page, 'Remove this webhook');
  await press(page, 'Undo');
  await says(page, 'The webhook is back as it was');
});

journey('it speaks French', async () => {
  const page = await person({ locale: 'fr-FR' });
  await page.goto(await portalLink());
  await page.getByRole('heading', { name: 'Livraisons récentes' }).waitFor();
  await look(page, 'webhooks-french');
  await page.goto(`${acme}/deliveries`);
  await page.getByText(/^(à l’instant|il y a \d+ (seconde|minute)s?)$/).first().waitFor();
  await look(page, 'deliveries-french');
  await page.goto(acme);
  await page.getByRole('link', { name: 'Ajouter un webhook' }).click();
  await page.getByLabel('URL', { exact: true }).fill('http://10.0.0.5/');
  await page.getByRole('button', { name: 'Enregistrer', exact: true }).click();
  await says(page, 'L’adresse 10.0.0.5 n’est pas publique');
  await page.goto(`${acme}/deliveries?call=lost-3`);
  await page.getByRole('link', { name: 'lost-3' }).last().click();
  await says(page, 'Que faire :');
  await look(page, 'delivery-french');
  await page.goto(`${acme}/activity`);
  await says(page, 'Webhook modifié');
  const text = await activity(page);
  assert.ok(!/\b(yes|no|state|headers)\b/.test(text), text);
  await look(page, 'activity-french');
  await page.goto(`${acme}/find`);
  const [link] = world.run('mint', 'recording', CALL).trim().split('\n');
  await page.getByLabel('Qu’en savez-vous').fill(`<${link.replaceAll('&', '&amp;')}>`);
  await page.getByRole('button', { name: 'Rechercher', exact: true }).click();
  await says(page, 'Il semble échappé pour HTML');
  await says(page, 'Sans cela il est bon');
  await look(page, 'find-french');
  await page.goto(`${acme}/deliveries?call=lost-3`);
  await page.getByRole('link', { name: 'lost-3' }).click();
  await page.getByRole('link', { name: 'English' }).click();
  await says(page, 'What to do:');
  await page.goto(acme);
  await heading(page).filter({ hasText: 'Webhooks' }).waitFor();
  await says(page, 'Recent deliveries');
});

journey('the keyboard is enough', async () => {
  const page = customer;
  await page.goto(`${acme}/deliveries?call=call-42`);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await tabTo(page, 'call-42');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Payload' }).waitFor();
});

onboardingJourneys({ journey, person, look, press, says, portalLink, world, hook });
playerJourneys({ mainJourney, journey, person, look, tabTo, press, says, portalLink, world });
liveJourneys({ mainJourney, journey, person, press, heading, portalLink, world, hook });
webhookJourneys({ journey, phone, person, look, press, says, heading, portalLink, world, hook });

mainJourney('the operator sees every workspace', async () => {
  const page = await person();
  const link = world.run('webhooks', 'portal', '--operator').trim();
  await page.goto(link);
  await heading(page).filter({ hasText: 'Workspaces' }).waitFor();
  await page.getByRole('link', { name: 'acme' }).waitFor();
  await look(page, 'workspaces');
});

sessionJourneys({ journey, browser, person, look, press, says, heading, world, hook, shots, axe, COLOURS });

mainJourney('no secret and no link came into the log', async () => {
  assert.ok(world.log.includes('an endpoint\'s secret was shown'));
  for (const secret of [/whsec_[A-Za-z0-9+/]{8}/, /sig=[0-9a-f]{16}/, /pass=[A-Za-z0-9]/, new RegExp(TOKEN)]) {
    assert.ok(!secret.test(world.log), `${secret} is in the log`);
    if (nginx) assert.ok(!secret.test(world.nginxLog()), `${secret} is in nginx's log`);
  }
  if (nginx) assert.ok(world.nginxLog().includes(` POST ${world.console}/enter `), 'nginx logs requests');
});

/** What people saw when a journey failed, and the program's last log lines: without them, a rare failure cannot be explained. */
async function failure(number) {
  for (const [who, page] of Object.entries({ customer, latest })) {
    if (!page || (who === 'customer' && page === latest)) continue;
    const text = await page.locator('body').innerText({ timeout: 2_000 }).catch((error) => String(error));
    console.log(`--- ${who} at ${page.url()}\n${text.replace(/\n\s*\n/g, '\n').slice(0, 2_000)}`);
    await page.screenshot({ path: `${shots}/failed-${number}-${who}.png`, fullPage: true }).catch(() => {});
  }
  console.log(`--- the program\n${world.log.split('\n').slice(-15).join('\n')}`);
}

let failed = 0;
const isWanted = ([name, , main], at) => (nginx ? main : mode !== 'only' || at < firsts || texts.some((text) => name.includes(text)));
const walked = journeys.filter(isWanted);
try {
  for (const [name, walk] of walked) {
    const began = performance.now();
    try {
      await walk();
      assert.deepEqual(complaints.splice(0), [], 'what the browser complained of');
      console.log(`ok    ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.stack ?? error}`);
      await failure(failed);
      if (mode === 'first') break;
    }
  }
} finally {
  await browser.close();
  hook.close();
  await world.end();
}
if (failed > 0) console.log(`${failed} of ${walked.length} journeys failed; pictures are in ${shots}`);
else console.log(`${walked.length} journeys${nginx ? ` through nginx at ${world.console}` : ''}; pictures are in ${shots}`);
process.exit(failed > 0 ? 1 : 0);
