// Journeys of a person who listens: speed, jumps, keys, search, and links to moments.

import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CALL } from './world.mjs';

const LONG = '5b0e8400-e29b-41d4-a716-446655440000';

export function playerJourneys({ mainJourney, journey, person, look, tabTo, press, says, portalLink, world }) {
  const acme = `${world.console}/w/acme`;
  const sound = (page, what) => page.evaluate((name) => document.querySelector('#audio')[name], what);
  const at = async (page, second) => page.waitForFunction((wanted) => Math.abs(document.querySelector('#audio').currentTime - wanted) < 1, second);

  async function listener() {
    const page = await person();
    await page.goto(await portalLink());
    await page.goto(`${acme}/deliveries?call=call-42`);
    await page.getByRole('link', { name: 'call-42' }).click();
    await page.getByRole('link', { name: 'Listen and read' }).click();
    await page.waitForFunction(() => document.querySelector('#audio').readyState >= 1);
    return page;
  }

  mainJourney('a recording is played faster, in jumps, and by keys', async () => {
    const page = await listener();
    await page.getByLabel('Speed').selectOption('1.5');
    assert.equal(await sound(page, 'playbackRate'), 1.5);
    await press(page, 'Forward 10 s');
    await press(page, 'Forward 10 s');
    await at(page, 20);
    await press(page, 'Back 10 s');
    await at(page, 10);
    // The arrows move the focus's own control, if it has one.
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('l');
    await at(page, 20);
    await page.keyboard.press('ArrowLeft');
    await at(page, 10);
    await page.keyboard.press('>');
    assert.equal(await sound(page, 'playbackRate'), 1.75);
    await page.keyboard.press('<');
    await page.waitForFunction(() => document.querySelector('#speed').value === '1.5');
    await page.keyboard.press(' ');
    await page.waitForFunction(() => !document.querySelector('#audio').paused);
    await page.keyboard.press('k');
    assert.equal(await sound(page, 'paused'), true);
    // In a field, keys write.
    await page.getByLabel('Search in the transcript').pressSequentially('jkl ');
    assert.equal(await sound(page, 'paused'), true);
    // A person may switch them off, and the browser keeps that, and the speed.
    await page.getByText('Keyboard', { exact: true }).click();
    await look(page, 'listen-keys');
    await page.getByLabel('Use these keys on this page').uncheck();
    await page.reload();
    await page.waitForFunction(() => document.querySelector('#audio').readyState >= 1);
    assert.equal(await sound(page, 'playbackRate'), 1.5);
    const before = await sound(page, 'currentTime');
    await page.keyboard.press('l');
    assert.equal(await sound(page, 'currentTime'), before);
  });

  journey('the transcript is searched, and what is found is heard', async () => {
    const page = await listener();
    const word = page.getByLabel('Search in the transcript');
    await word.fill('CALL');
    await says(page, /^0 \/ [1-9]\d*$/);
    const marks = await page.locator('mark').allTextContents();
    assert.ok(marks.length > 0 && marks.every((text) => text.toLowerCase() === 'call'), marks.join());
    await word.press('Enter');
    await says(page, /^1 \/ /);
    const start = Number(await page.locator('.transcript li.hit').getAttribute('data-start')) / 1000;
    await at(page, start);
    await look(page, 'listen-search');
    await press(page, 'Next match');
    await press(page, 'Previous match');
    await says(page, /^1 \/ /);
    await word.fill('no such word');
    await says(page, 'Nothing found');
    assert.equal(await page.locator('mark').count(), 0);
    await word.fill('');
    assert.equal(await page.locator('.transcript li').first().locator('p span').count(), 1);
  });

  journey('a link leads to a moment, for a person who may listen', async () => {
    const page = await listener();
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await press(page, 'Forward 10 s');
    await at(page, 10);
    await press(page, 'Copy a link to this moment');
    await says(page, 'Copied');
    const link = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(link, /\/listen#t=10$/);
    const other = await person();
    assert.equal((await other.goto(link)).status(), 403);
    await other.goto(await portalLink());
    await other.goto(link);
    await at(other, 10);
    await other.locator('.transcript li.now').waitFor();
    assert.equal(await sound(other, 'paused'), true);
    await other.goto(link.replace('#t=10', '#t=20'));
    await at(other, 20);
    // Without a script the address has the moment as a parameter.
    const quiet = await person({ javaScriptEnabled: false });
    await quiet.goto(await portalLink());
    await press(quiet, 'Go on');
    await quiet.goto(link.replace('#t=', '?at='));
    assert.match(await quiet.locator('#audio').getAttribute('src'), /\/recording#t=10$/);
    for (const hidden of ['#controls', '#keyboard', '#search']) assert.equal(await quiet.locator(hidden).isVisible(), false);
  });

  journey('a recording that does not load says so, and where to look', async () => {
    const page = await listener();
    await page.locator('#unheard').waitFor({ state: 'hidden' });
    const where = page.url().replace('/listen', '/recording');
    await page.route(where, (route) => route.fulfill({ status: 404, body: 'the recording is gone' }));
    await page.reload();
    await says(page, 'The browser could not load the recording.');
    await look(page, 'listen-unheard');
    await page.keyboard.press('k');
    await page.unroute(where);
    await page.reload();
    await page.waitForFunction(() => document.querySelector('#audio').readyState >= 1);
    assert.equal(await page.locator('#unheard').isVisible(), false);
  });

  /** A call whose transcript has three pages of 120 utterances, with “parachute” on each; two are spoken in the same second. */
  async function longCall() {
    const [recordings, transcripts] = ['recordings', 'transcripts'].map((kind) => join(world.folder, 'store', kind));
    copyFileSync(join(recordings, `${CALL}.mp3`), join(recordings, `${LONG}.mp3`));
    const utterances = Array.from({ length: 300 }, (_, index) => ({
      index, speaker: `speaker_${index % 2}`, start_ms: index * 210, end_ms: index * 210 + 200,
      text: [10, 150, 151, 280].includes(index) ? `Number ${index} has a parachute.` : `This is number ${index}.`,
    }));
    const speakers = [{ id: 'speaker_0', name: 'Jane Smith' }, { id: 'speaker_1', name: 'John Doe' }];
    const transcript = { schema: 'call-transcript/1', id: LONG, language: 'en', duration_ms: 63_000, speakers, utterances };
    writeFileSync(join(transcripts, `${LONG}.json`), JSON.stringify(transcript));
    await world.call('call-long', { recording: LONG, transcript: LONG });
  }

  journey('a long transcript is searched by keyboard alone, and a link leads to a moment on another of its pages', async () => {
    await longCall();
    const page = await person();
    await page.goto(await portalLink());
    await page.goto(`${acme}/deliveries?call=call-long`);
    await page.getByRole('link', { name: 'call-long' }).first().click();
    await page.getByRole('link', { name: 'Listen and read' }).click();
    await page.waitForFunction(() => document.querySelector('#audio').textTracks[0].cues?.length === 300);
    assert.equal(await page.locator('.transcript li').count(), 120);
    const hit = (number) => page.locator('.transcript li.hit').filter({ hasText: `Number ${number} has` }).waitFor();
    await tabTo(page, 'Search in the transcript');
    await page.keyboard.type('Parachute');
    await says(page, '0 / 4');
    for (const [place, number, second] of [[1, 10, 2.1], [2, 150, 31.5], [3, 151, 31.71], [4, 280, 58.8], [1, 10, 2.1]]) {
      await page.keyboard.press('Enter');
      await hit(number);
      await says(page, `${place} / 4`);
      await at(page, second);
      assert.equal(await page.evaluate(() => document.activeElement.id), 'word', 'the next Enter goes on');
    }
    await page.keyboard.press('Shift+Enter');
    await hit(280);
    await look(page, 'listen-long');
    // The sound leaves this part of the transcript: no line is spoken, and the link leads to what is heard.
    for (let jumps = 0; jumps < 2; jumps += 1) await press(page, 'Back 10 s');
    await at(page, 38.8);
    assert.equal(await page.locator('.transcript li.now').count(), 0);
    await page.getByRole('link', { name: 'Earlier' }).press('Enter');
    await page.locator('.transcript li.now').filter({ hasText: 'number 18' }).waitFor();
    await at(page, 38);
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.getByRole('button', { name: 'Copy a link to this moment' }).press('Enter');
    await says(page, 'Copied');
    const link = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(link, /\/listen\?at=38#t=38$/);
    const other = await person();
    await other.goto(await portalLink());
    await other.goto(link);
    await at(other, 38);
    await other.locator('.transcript li.now').filter({ hasText: 'number 18' }).waitFor();
    // A moment of another page that a person writes into the address.
    await other.goto(link.replace(/\?.*/, '#t=58.9'));
    await other.locator('.transcript li.now').filter({ hasText: 'Number 280' }).waitFor();
  });

  journey('listening in French', async () => {
    const page = await person({ locale: 'fr-FR' });
    await page.goto(await portalLink());
    await page.goto(`${acme}/deliveries?call=call-42`);
    await page.getByRole('link', { name: 'call-42' }).click();
    await page.goto(`${page.url()}/listen`);
    await page.getByRole('button', { name: 'Avancer de 10 s' }).waitFor();
    await look(page, 'listen-french');
  });
}
