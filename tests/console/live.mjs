// Journeys of pages that change by themselves: what they ask for, and when they stop.

import assert from 'node:assert/strict';

/** Counts what a page below this path asks for by itself. */
function requestsOf(page, path) {
  const counts = { streams: 0, pages: 0 };
  page.on('request', (request) => {
    if (!new URL(request.url()).pathname.startsWith(path)) return;
    if (request.resourceType() === 'eventsource') counts.streams += 1;
    if (request.resourceType() === 'fetch') counts.pages += 1;
  });
  return counts;
}

export function liveJourneys({ mainJourney, journey, person, press, heading, portalLink, world, hook }) {
  const acme = `${world.console}/w/acme`;
  // Each webhook has a delivery of the call.
  const row = (page, name) => page.getByRole('link', { name, exact: true }).first();

  async function customer() {
    const page = await person();
    await page.goto(await portalLink());
    await heading(page).filter({ hasText: 'Webhooks' }).waitFor();
    return page;
  }

  mainJourney('a test event is delivered before one\'s eyes, and then the page asks for nothing more', async () => {
    const page = await customer();
    await page.locator('.hooks .main a').first().click();
    hook.react = () => ({ status: 200, body: 'OK', wait: 2_000 });
    const counts = requestsOf(page, `${acme}/deliveries/`);
    await press(page, 'Send test event');
    await page.locator('#state .pill.good').waitFor();
    await page.waitForTimeout(3_000);
    const asked = { ...counts };
    assert.equal(asked.streams, 1);
    // Once when the stream begins, and once for each change.
    assert.ok(asked.pages >= 1 && asked.pages <= 5, `${asked.pages} pages`);
    assert.equal(await page.locator('[data-live]').count(), 0);
    await page.waitForTimeout(12_000);
    assert.deepEqual(counts, asked, 'a delivered delivery asks for nothing more');
    await page.reload();
    await page.waitForTimeout(1_000);
    assert.deepEqual(counts, asked);
    hook.react = () => ({ status: 200, body: 'OK' });
  });

  journey('a list asks when something has changed, and not while it is hidden', async () => {
    const page = await customer();
    const counts = requestsOf(page, `${acme}/deliveries`);
    await page.goto(`${acme}/deliveries`);
    await page.waitForTimeout(5_000);
    assert.deepEqual(counts, { streams: 1, pages: 1 });
    await world.call('seen-1');
    await row(page, 'seen-1').waitFor();
    const hide = (hidden) => page.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { value, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
    await page.waitForTimeout(3_000);
    await hide(true);
    const before = counts.pages;
    await world.call('unseen-1');
    await page.waitForTimeout(3_000);
    assert.equal(counts.pages, before);
    await hide(false);
    await row(page, 'unseen-1').waitFor();
  });

  journey('without a stream the page asks now and then, until it has one again', async () => {
    const page = await customer();
    let refused = 0;
    await page.route('**/deliveries', (route) => {
      if (route.request().resourceType() !== 'eventsource' || refused > 3) return route.fallback();
      refused += 1;
      return route.fulfill({ status: 204 });
    });
    await page.goto(`${acme}/deliveries`);
    await world.call('slow-1');
    await row(page, 'slow-1').waitFor();
    await page.waitForTimeout(12_000);
    assert.equal(refused, 4);
    await world.call('quick-1');
    await row(page, 'quick-1').waitFor({ timeout: 5_000 });
  });
}
