// From no webhook to a test that arrived, and clicks that come twice.

import assert from 'node:assert/strict';
import { until } from './world.mjs';

export function onboardingJourneys({ journey, person, look, press, says, portalLink, world, hook }) {
  /** Goes by Tab to the element with this text, and presses Enter. */
  async function reach(page, text, key = 'Enter') {
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press('Tab');
      const focused = await page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id);
      if (focused.startsWith(text)) return page.keyboard.press(key);
    }
    throw new Error(`${text} cannot be reached by Tab`);
  }

  journey('three steps lead from no webhook to a test that arrived, by keyboard alone', async () => {
    const page = await person();
    await page.goto(await portalLink(true, 'first'));
    await says(page, 'No webhook yet');
    await look(page, 'onboarding-1-platform');
    await reach(page, 'n8n');
    await page.waitForURL(/platform=n8n/);
    await page.getByText('Set its HTTP Method to POST').waitFor();
    assert.equal(await page.locator('.steps [aria-current=step]').textContent(), 'Give its URL');
    await look(page, 'onboarding-2-url');
    await reach(page, 'url', 'x');
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type(hook.url);
    await page.keyboard.press('Enter');
    await says(page, 'The webhook is added');
    assert.equal(await page.locator('.steps [aria-current=step]').textContent(), 'Send a test');
    await look(page, 'onboarding-3-test');
    hook.react = () => ({ status: 200, body: 'OK', wait: 300 });
    const before = hook.received.length;
    await reach(page, 'Send test event');
    await says(page, 'The test arrived: your webhook is ready');
    await page.locator('#state .pill.good').waitFor();
    assert.equal(hook.received.length, before + 1);
    await says(page, '{{ $json.body.call.recording_url }}');
    assert.equal(await page.locator('mark').count(), 11);
    await look(page, 'onboarding-4-arrived');
    await page.getByRole('link', { name: 'Français' }).click();
    await says(page, 'Le test est arrivé');
    await look(page, 'onboarding-4-arrived-french');
    await page.getByRole('link', { name: 'English' }).click();
    await page.getByRole('link', { name: 'To the webhook' }).click();
    await page.getByText('Code by Zapier').first().waitFor({ state: 'attached' });
  });

  journey('code for seven languages is at hand with the secret', async () => {
    const page = await person();
    await page.goto(await portalLink(true, 'first'));
    await page.locator('.hooks .main a').first().click();
    await press(page, 'Show secret');
    const secret = await page.locator('#secret').textContent();
    for (const label of ['Python', 'PHP', 'Go', 'Ruby', 'Java', 'C#', 'Node.js']) {
      await page.locator('.languages').getByRole('link', { name: label, exact: true }).click();
      await page.locator('.languages [aria-current]', { hasText: label }).waitFor();
      assert.ok((await page.locator('#own-code-setup').textContent()).includes(secret), label);
      assert.equal(await page.locator('#secret').textContent(), secret);
      if (label === 'Java') await look(page, 'onboarding-code');
    }
  });

  journey('a double click does nothing twice, with a script and without', async () => {
    for (const javaScriptEnabled of [true, false]) {
      const page = await person({ javaScriptEnabled });
      await page.goto(await portalLink(true, 'first'));
      if (!javaScriptEnabled) await page.getByRole('button', { name: 'Go on' }).dblclick();
      await page.locator('.hooks .main a').first().click();
      const before = hook.received.length;
      await page.getByRole('button', { name: 'Send test event' }).dblclick();
      await page.getByRole('heading', { name: 'Test event' }).waitFor();
      await until('the test event is delivered', async () => {
        if (!javaScriptEnabled) await page.reload();
        return page.locator('#state .pill.good').count();
      });
      assert.equal(hook.received.length, before + 1, javaScriptEnabled ? 'with a script' : 'without a script');
      // Back, the page has new forms: a test that is asked for again is sent.
      await page.goBack();
      await press(page, 'Send test event');
      await page.getByRole('heading', { name: 'Test event' }).waitFor();
      await until('the second test event', () => hook.received.length >= before + 2);
      assert.equal(hook.received.length, before + 2);
      await page.context().close();
    }
  });
}
