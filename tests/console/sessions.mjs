// Journeys at the end of a session, and within the frame of a product.

import assert from 'node:assert/strict';
import { PATIENCE, product } from './world.mjs';

/** Whether a page fits into a phone's and into the narrowest screen. */
async function fitsNarrowScreens(page, name) {
  const size = page.viewportSize();
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 800 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, `${name} is ${wide} pixels too wide for ${width}`);
  }
  await page.setViewportSize(size);
}

export function sessionJourneys({ journey, browser, person, look, press, says, heading, world, hook, shots, axe, COLOURS }) {
  const acme = `${world.console}/w/acme`;

  async function productLink(options) {
    return (await world.api('POST', '/v1/workspaces/acme/portal-links', { listen: true, ...options })).url;
  }

  journey('when the session is over, what was typed is kept and the way back is the product\'s own', async () => {
    const back = { return_url: 'https://app.example.com/settings/webhooks' };
    const page = await person();
    await page.goto(await productLink(back));
    await page.getByRole('link', { name: 'Back to app.example.com' }).waitFor();
    await page.goto(`${acme}/deliveries`);
    const live = await page.context().newPage();
    await live.goto(`${acme}/webhooks/new`);
    await live.getByLabel('URL', { exact: true }).fill(`${hook.url}/typed`);
    await live.getByLabel('Description').fill('Typed for a long time');
    await live.getByText('Headers and credentials').click();
    await live.getByLabel('Password, for Basic authentication').fill('a-typed-password');
    // The person signs out in another tab; at the end of the day it would be the same.
    const other = await page.context().newPage();
    await other.goto(acme);
    await press(other, 'Sign out');
    await says(other, 'You are signed out');
    assert.equal(await other.getByRole('link', { name: 'Back to app.example.com' }).getAttribute('href'), back.return_url);
    await says(page, 'Your session is over: what you see here changes no more.');
    await look(page, 'session-over-live');
    await press(live, 'Save');
    await says(live, 'Your session is over');
    await says(live, 'Typed for a long time');
    assert.ok(!(await live.content()).includes('a-typed-password'));
    await look(live, 'session-over-typed');
    await fitsNarrowScreens(live, 'session-over-typed');
    await page.goto(`${acme}/deliveries`);
    await heading(page).filter({ hasText: 'Your session is over' }).waitFor();
    await look(page, 'session-over');
    await fitsNarrowScreens(page, 'session-over');
    // Signed in again, the person sends it with the keyboard alone.
    await other.goto(await productLink(back));
    await live.getByRole('button', { name: 'Send it now' }).focus();
    await live.keyboard.press('Enter');
    await says(live, 'Send what you typed?');
    await look(live, 'form-of-earlier-session');
    await press(live, 'Send it now');
    await says(live, 'The webhook is added');
    await heading(live).filter({ hasText: 'Typed for a long time' }).waitFor();
    // What is no page says so, with the navigation.
    assert.equal((await live.goto(`${new URL(live.url()).pathname}/pause`)).status(), 405);
    await look(live, 'not-a-page');
    await live.getByRole('link', { name: 'To the page' }).click();
    await press(live, 'Remove this webhook');
    await says(live, 'It can be taken back for an hour');
    await live.goto(`${acme}?lang=fr`);
    await fitsNarrowScreens(live, 'webhooks in French with a way back');
    await live.setViewportSize({ width: 320, height: 800 });
    await live.screenshot({ path: `${shots}/webhooks-french-320.png`, fullPage: true });
  });

  journey('a product embeds the page in its colour, and another site cannot', async () => {
    const [ours, another] = [await product(), await product()];
    const options = { embed_origins: [ours.origin], color: '#ffe600', logo_url: `${ours.origin}/logo.svg`, return_url: `${ours.origin}/` };
    const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, locale: 'en-GB' });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const embed = async (site, more = {}) => page.goto(`${site.origin}/?embed=${encodeURIComponent(await productLink({ ...options, ...more }))}`);
    await embed(ours);
    const frame = page.frameLocator('iframe');
    await frame.getByRole('heading', { level: 1, name: 'Webhooks' }).waitFor();
    const cookie = (await context.cookies()).find(({ name }) => name === 'webhook_assets_session');
    assert.deepEqual([cookie.sameSite, cookie.secure, cookie.httpOnly], ['None', true, true]);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const path of [acme, `${acme}/webhooks/new`, `${acme}/deliveries`, `${acme}/nowhere`]) {
        const inner = page.frames()[1];
        await inner.goto(`${world.site}${path}`);
        await inner.evaluate(`window.axe ?? (() => { ${axe} })()`);
        const { violations } = await inner.evaluate((rules) => window.axe.run(rules), COLOURS);
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message}`).join(' | ')}`);
        assert.deepEqual(found, [], `${path}, ${colorScheme}`);
      }
      const inner = page.frames()[1];
      await inner.goto(`${world.site}${acme}`);
      await page.screenshot({ path: `${shots}/embedded-${colorScheme}.png`, fullPage: true });
    }
    // The policy names the logo, and nothing beside it.
    const loaded = (src) => page.frames()[1].evaluate((address) => new Promise((done) => {
      document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => done(effectiveDirective), { once: true });
      Object.assign(new Image(), { src: address, onload: () => done('loaded') });
    }), src);
    assert.deepEqual([await loaded(`${ours.origin}/logo.svg?again`), await loaded(`${ours.origin}/logo.svg/other`)], ['loaded', 'img-src']);
    // Forms work in the frame, and its language is kept.
    await frame.locator('.hooks .main a').first().click();
    await frame.getByRole('button', { name: 'Pause', exact: true }).click();
    await frame.getByText('events wait until you resume it').first().waitFor();
    await frame.getByRole('button', { name: 'Resume', exact: true }).click();
    await frame.getByText('The webhook goes on').first().waitFor();
    await frame.getByRole('link', { name: 'Français' }).click();
    await frame.getByRole('link', { name: 'Livraisons récentes' }).first().click();
    await frame.getByRole('heading', { level: 1, name: 'Livraisons récentes' }).waitFor();
    await page.setViewportSize({ width: 390, height: 844 });
    await page.emulateMedia({ colorScheme: 'light' });
    await page.screenshot({ path: `${shots}/embedded-phone.png`, fullPage: true });
    await frame.getByRole('button', { name: 'Se déconnecter' }).click();
    await frame.getByText('Vous êtes déconnecté').first().waitFor();
    // Without its logo the page is whole.
    await page.setViewportSize({ width: 1100, height: 900 });
    await embed(ours, { logo_url: `${ours.origin}/missing.svg` });
    await frame.locator('.brand').getByText('Webhooks').waitFor();
    await frame.locator('.brand img').waitFor({ state: 'detached' });
    await page.screenshot({ path: `${shots}/embedded-without-logo.png` });
    // Around another site, the cookie is not sent and the page is not shown.
    await embed(another);
    await page.waitForFunction(() => document.readyState === 'complete');
    assert.match(page.frames()[1].url(), /^chrome-error:/);
    await context.close();
    ours.close();
    another.close();
  });
}
