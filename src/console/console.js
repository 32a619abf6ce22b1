// Live updates, local times, URL checks while typing, and a transcript that follows the recording. Every page works
// without this script.
'use strict';

const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
// The regional form of the page's language, if the browser prefers one.
const spoken = document.documentElement.lang;
const lang = navigator.languages.find((tag) => tag.split('-')[0] === spoken) ?? spoken;

// --- times ---------------------------------------------------------------------------------------------------------

const onDay = new Intl.DateTimeFormat(lang, { dateStyle: 'medium' });
const atTime = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'short' });
const inFull = new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'long' });
const distance = new Intl.RelativeTimeFormat(lang);
const UNITS = [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]];
// The clock of this computer may be wrong.
const skew = Date.parse(document.body.dataset.now) - Date.now() || 0;

// As the server says it: see i18n/moments.rs.
function fromNow(moment) {
  const seconds = (moment - Date.now() - skew) / 1000;
  const away = Math.abs(seconds);
  if (away < 10) return seconds <= 0 ? document.body.dataset.justNow : document.body.dataset.soon;
  if (away >= 30 * 86_400) return onDay.format(moment);
  const [unit, length] = UNITS.find(([, each]) => away >= each);
  return distance.format(Math.trunc(seconds / length), unit);
}

function showTimes(within) {
  for (const time of all('time', within)) {
    const moment = new Date(time.dateTime);
    const text = time.classList.contains('exact') ? atTime.format(moment) : fromNow(moment);
    const title = `${inFull.format(moment)} · ${time.dateTime}`;
    // Screen readers hear of every change, so a text that stays is left alone.
    if (time.textContent !== text) time.textContent = text;
    if (time.title !== title) time.title = title;
  }
}

setInterval(() => { if (!document.hidden) showTimes(document); }, 5_000);

// --- clipboard -----------------------------------------------------------------------------------------------------

function announce(text) {
  const output = byId('announcement');
  output.textContent = text;
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => { output.textContent = ''; }, 2500);
}

async function copy(button) {
  const source = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    announce(document.body.dataset.copied);
  } catch {
    // The clipboard needs https: select the text instead, so that a person can copy it.
    getSelection().selectAllChildren(source);
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy]');
  if (button) copy(button);
});

// --- forms ---------------------------------------------------------------------------------------------------------

// The first click of two sends the form. (The server does nothing twice either; but the browser would forget the first answer.)
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (form.method !== 'post') return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = 'yes';
  setTimeout(() => { delete form.dataset.sent; }, 2000);
});

// The forms of a page that the browser had kept may have been sent: they get the token of a new page.
addEventListener('pageshow', async (event) => {
  if (!event.persisted) return;
  try {
    const fresh = new DOMParser().parseFromString(await (await fetch(location.href)).text(), 'text/html');
    const token = fresh.querySelector('input[name=csrf]')?.value;
    for (const field of all('input[name=csrf]')) if (token) field.value = token;
  } catch {
    // Without a network nothing is sent either; the server refuses an old token, and keeps what was typed.
  }
});

// --- live updates --------------------------------------------------------------------------------------------------

// Replaces a part of the page by its fresh version. Open details stay open, and the focus stays where it is.
function replace(part, fresh) {
  const open = new Set(all('details[open]', part).map((details) => all('details', part).indexOf(details)));
  const focused = part.contains(document.activeElement) ? all('a, button, summary, pre', part).indexOf(document.activeElement) : -1;
  part.replaceChildren(...fresh.childNodes);
  all('details', part).forEach((details, at) => { if (open.has(at)) details.open = true; });
  if (focused >= 0) all('a, button, summary, pre', part)[focused]?.focus({ preventScroll: true });
  initialise(part);
}

const seen = new Map();
// A part has not changed if only the distance of its times has, or what its forms send unseen.
const content = (part) => part.innerHTML.replaceAll(/<input type="hidden"[^>]*>/g, '').replaceAll(/(<time [^>]*>)[^<]*/g, '$1').replaceAll(/ title="[^"]*"/g, '');

// Says that the page changes no more, because the session is over or the page is gone.
function stopped(status) {
  for (const part of all('[data-live]')) part.removeAttribute('data-live');
  if (![401, 403, 404].includes(status)) return;
  const notice = document.createElement('div');
  notice.className = 'message warn';
  notice.id = 'stopped';
  notice.setAttribute('role', 'alert');
  notice.append(status === 404 ? document.body.dataset.stopped : document.body.dataset.over);
  const back = document.querySelector('.back')?.cloneNode(true);
  if (back) notice.append(' ', back);
  byId('main').prepend(notice);
}

// Fetches this page and replaces the parts that changed.
async function update() {
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store' });
    // Overload passes.
    if (answer.status >= 500) return;
    if (!answer.ok) return stopped(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    let changed = false;
    for (const part of all('[data-live]')) {
      const found = fresh.getElementById(part.id);
      if (found && !found.hasAttribute('data-live')) part.removeAttribute('data-live');
      // Rows that a person has ticked stay until they are sent.
      if (!found || content(found) === seen.get(part.id) || part.querySelector('input:checked')) continue;
      seen.set(part.id, content(found));
      replace(part, found);
      changed = true;
    }
    if (changed) announce(byId('state')?.textContent.trim() || document.body.dataset.updated);
  } catch {
    // A network error: try again.
  }
}

// One update at a time; what changes meanwhile leads to another.
let updating;
let outdated = false;
async function refresh() {
  outdated = true;
  updating ??= (async () => {
    while (outdated) {
      outdated = false;
      await update();
    }
    updating = undefined;
    follow();
  })();
}

// A stream of events says when the page has changed. Without a stream (too many are open, or a proxy holds it back) the page is
// fetched now and then. A window that nobody sees asks for nothing.
let stream;
let failures = 0;
let timer;

function follow() {
  const wanted = !document.hidden && document.querySelector('[data-live]');
  if (!wanted) return hangUp();
  if (stream || timer) return;
  stream = new EventSource(location.href);
  // The page may have changed before the stream began.
  stream.onopen = () => { failures = 0; heard(); refresh(); };
  stream.onmessage = ({ data }) => { heard(); if (data === 'changed') refresh(); };
  stream.onerror = lost;
  heard();
}

// There is an event every ten seconds at least.
function heard() {
  clearTimeout(timer);
  timer = setTimeout(lost, 15_000);
}

function hangUp() {
  clearTimeout(timer);
  timer = undefined;
  stream?.close();
  stream = undefined;
}

function lost() {
  hangUp();
  // Many windows lose their streams at once when the program restarts.
  const pause = Math.min(10_000, 1_000 * 2 ** failures) * (0.75 + Math.random() / 2);
  // A stream that could not be opened: the page tells why.
  if (failures > 0) refresh();
  failures += 1;
  timer = setTimeout(() => { timer = undefined; follow(); }, pause);
}

document.addEventListener('visibilitychange', follow);
document.addEventListener('change', ({ target }) => { if (target.closest('[data-live]')) refresh(); });

// --- URLs ----------------------------------------------------------------------------------------------------------

function watchUrl(input) {
  const output = byId('url-result');
  const csrf = input.form.elements.csrf.value;
  let asked = 0;
  async function check(look) {
    const url = input.value.trim();
    asked += 1;
    const mine = asked;
    if (url === '' || url === input.defaultValue) return output.replaceChildren();
    try {
      const body = new URLSearchParams({ csrf, url, look: look ? '1' : '' });
      const answer = await fetch(input.dataset.check, { method: 'POST', body });
      if (mine !== asked) return;
      if (!answer.ok) return show('wait', document.body.dataset.unchecked);
      const { level, text, platform } = await answer.json();
      show(level, text);
      input.setAttribute('aria-invalid', String(level === 'bad'));
      for (const details of all('[data-platform]')) if (platform && platform !== 'own') details.open = details.dataset.platform === platform;
    } catch {
      show('wait', document.body.dataset.unchecked);
    }
  }
  function show(level, text) {
    const message = document.createElement('p');
    message.className = `message ${level}`;
    message.textContent = text;
    output.replaceChildren(message);
  }
  let timer;
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(check, 500, false);
  });
  input.addEventListener('change', () => {
    clearTimeout(timer);
    check(true);
  });
}

// --- ranges of time: local on the page, UTC in the form --------------------------------------------------------------

function localise(input) {
  const label = document.querySelector(`label[for="${input.id}"] .zone`);
  if (label) label.textContent = `(${input.dataset.local})`;
  const given = input.getAttribute('value');
  if (given) {
    const moment = new Date(/Z|[+-]\d\d:\d\d$/.test(given) ? given : `${given}Z`);
    const local = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
    if (!Number.isNaN(local.getTime())) input.value = local.toISOString().slice(0, 19);
  }
  const sent = document.createElement('input');
  sent.type = 'hidden';
  sent.name = input.name;
  input.removeAttribute('name');
  input.after(sent);
  const pass = () => { sent.value = input.value ? new Date(input.value).toISOString() : ''; };
  input.addEventListener('input', pass);
  input.form.addEventListener('submit', pass);
  pass();
}

// --- player --------------------------------------------------------------------------------------------------------

const lines = all('.transcript li');
const startOf = (line) => Number(line.dataset.start) / 1000;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const show = (line) => line.scrollIntoView({ block: 'center', behavior: calm.matches ? 'auto' : 'smooth' });
// Whether the transcript goes on at other pages.
const isPart = document.querySelector('.pages a') !== null;

// A browser may keep nothing, in another site's frame for example.
function kept(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(name, value);
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

const turns = all('.pages a').map((link) => [link, link.href]);

// The line that is spoken. Outside of this page's part of the transcript there is none, and the link to the page before or behind
// leads to what is heard.
function lineAt(moment) {
  const line = lines.findLast((candidate) => startOf(candidate) <= moment);
  const isBehind = isPart && line === lines.at(-1) && moment > Number(line?.dataset.end) / 1000;
  const way = isBehind ? 'next' : line === undefined && 'prev';
  for (const [link, href] of turns) link.href = link.rel === way ? addressOf(Math.floor(moment)) : href;
  return isBehind ? undefined : line;
}

// A pause that comes first rejects the promise of a player, and so does a recording that does not load.
const play = (audio) => audio.play().catch(() => {});

// Says that the recording does not load, and how to find out why.
function watchLoading(audio) {
  const say = () => { byId('unheard').hidden = audio.error === null; };
  for (const moment of ['error', 'loadedmetadata']) audio.addEventListener(moment, say);
  say();
}

function followSound(audio) {
  const box = byId('follow');
  let now;
  if (lines.length === 0) box.parentElement.hidden = true;
  audio.addEventListener('timeupdate', () => {
    const line = lineAt(audio.currentTime);
    if (line === now) return;
    now?.classList.remove('now');
    now?.removeAttribute('aria-current');
    now = line;
    now?.classList.add('now');
    now?.setAttribute('aria-current', 'true');
    if (now && box.checked && !audio.paused) show(now);
  });
  for (const line of lines) {
    line.querySelector('.at').addEventListener('click', (event) => {
      event.preventDefault();
      audio.currentTime = startOf(line);
      play(audio);
    });
  }
}

function controlSound(audio) {
  const [speed, keys] = [byId('speed'), byId('keys')];
  const speeds = [...speed.options].map(({ value }) => Number(value));
  const setSpeed = (rate) => { audio.defaultPlaybackRate = rate; audio.playbackRate = rate; };
  const jump = (seconds) => { audio.currentTime = Math.max(0, audio.currentTime + seconds); };
  const step = (by) => setSpeed(speeds[speeds.indexOf(audio.playbackRate) + by] ?? audio.playbackRate);
  const toggle = () => { if (audio.paused) play(audio); else audio.pause(); };
  byId('controls').hidden = false;
  byId('keyboard').hidden = false;
  keys.checked = kept('keys') !== 'off';
  keys.addEventListener('change', () => kept('keys', keys.checked ? 'on' : 'off'));
  // The browser's own menu has other speeds too.
  audio.addEventListener('ratechange', () => {
    if (!speeds.includes(audio.playbackRate)) return;
    speed.value = audio.playbackRate;
    kept('speed', audio.playbackRate);
  });
  speed.addEventListener('change', () => setSpeed(Number(speed.value)));
  if (speeds.includes(Number(kept('speed')))) setSpeed(Number(kept('speed')));
  for (const button of all('[data-jump]')) button.addEventListener('click', () => jump(Number(button.dataset.jump)));
  const actions = {
    ' ': toggle, k: toggle, j: () => jump(-10), l: () => jump(10), ArrowLeft: () => jump(-10), ArrowRight: () => jump(10),
    '<': () => step(-1), '>': () => step(1),
  };
  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    if (!keys.checked || event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(actions, key)) return;
    if (target.closest('select, input:not([type=checkbox])')) return;
    // There these keys have a meaning already.
    if (key.length !== 1 || key === ' ') if (target.closest('button, summary, input, audio, video')) return;
    event.preventDefault();
    actions[key]();
  });
}

// --- moments: #t=83 in the address leads to the second 83 ------------------------------------------------------------

const momentOf = (address) => new URLSearchParams(address.hash.slice(1)).get('t') ?? new URLSearchParams(address.search).get('at');
const addressOf = (second) => `${document.body.dataset.path}${isPart ? `?at=${second}` : ''}#t=${second}`;

function linkMoments(audio) {
  function open() {
    const text = momentOf(location);
    if (!/^\d+(\.\d+)?$/.test(text)) return;
    const moment = Number(text);
    const asked = Number(new URLSearchParams(location.search).get('at') ?? NaN) === moment;
    const isHere = lines.length === 0 || (moment >= startOf(lines[0]) && moment <= Number(lines.at(-1).dataset.end) / 1000);
    // Another page of the transcript.
    if (isPart && !isHere && !asked) return location.replace(`${location.pathname}?at=${moment}${location.hash}`);
    audio.currentTime = moment;
    const line = lines.findLast((candidate) => startOf(candidate) <= moment);
    if (line) show(line);
  }
  window.addEventListener('hashchange', open);
  open();
  byId('moment').addEventListener('click', async ({ target }) => {
    history.replaceState(null, '', addressOf(Math.floor(audio.currentTime)));
    try {
      await navigator.clipboard.writeText(location.href);
      announce(document.body.dataset.copied);
    } catch {
      // The clipboard needs https.
      announce(target.dataset.address);
    }
  });
}

// --- search in the transcript: words stay in the browser --------------------------------------------------------------

// Without accents and capitals, and as long as the text.
const fold = (text) => text.split('').map((c) => c.normalize('NFD')[0].toLowerCase()[0]).join('');

function mark(line, word) {
  const text = line.querySelector('p span');
  const whole = text.textContent;
  const folded = fold(whole);
  text.replaceChildren();
  let from = 0;
  for (let at = folded.indexOf(word); word !== '' && at >= 0; at = folded.indexOf(word, from)) {
    const found = document.createElement('mark');
    found.textContent = whole.slice(at, at + word.length);
    text.append(whole.slice(from, at), found);
    from = at + word.length;
  }
  text.append(whole.slice(from));
}

function searchTranscript(form, audio) {
  const [input, output] = [byId('word'), byId('found')];
  let found = [];
  let current;
  // The captions are the whole transcript; the page may have a part of it.
  function spoken() {
    const cues = isPart ? audio?.textTracks[0]?.cues : undefined;
    if (cues?.length > 0) return [...cues].map((cue) => [cue.startTime, cue.getCueAsHTML().textContent]);
    return lines.map((line) => [startOf(line), line.querySelector('p span').textContent]);
  }
  const say = () => {
    const count = found.length > 0 ? `${(current ?? -1) + 1} / ${found.length}` : output.dataset.none;
    output.textContent = input.value.trim() === '' ? '' : count;
  };
  function search() {
    const word = fold(input.value.trim());
    found = word === '' ? [] : spoken().filter(([, text]) => fold(text).includes(word)).map(([start]) => start);
    current = undefined;
    for (const line of lines) mark(line, word);
    all('.hit').forEach((line) => line.classList.remove('hit'));
    say();
  }
  function go(by) {
    if (found.length === 0) return;
    current = current === undefined && by < 0 ? found.length - 1 : ((current ?? -1) + by + found.length) % found.length;
    if (!point()) return location.assign(`${addressOf(found[current])}&find=${encodeURIComponent(input.value.trim())}`);
    if (audio) audio.currentTime = found[current];
  }
  // Shows the current match; false if it is not on this page of the transcript.
  function point() {
    const line = lines.find((candidate) => Math.abs(startOf(candidate) - found[current]) < 0.001);
    all('.hit').forEach((hit) => hit.classList.remove('hit'));
    say();
    line?.classList.add('hit');
    if (line) show(line);
    return line !== undefined;
  }
  form.hidden = false;
  let timer;
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(search, 150);
  });
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    clearTimeout(timer);
    if (current === undefined) search();
    go(event.shiftKey ? -1 : 1);
  });
  form.addEventListener('submit', (event) => { event.preventDefault(); go(1); });
  byId('previous').addEventListener('click', () => go(-1));
  // From another page of the transcript.
  const word = new URLSearchParams(location.hash.slice(1)).get('find');
  if (!word) return;
  input.value = word;
  const resume = () => {
    search();
    current = found.findLastIndex((start) => start <= Number(momentOf(location)) + 0.001);
    if (current < 0) current = undefined;
    point();
  };
  resume();
  // The next Enter leads to the next match, as on the page before.
  input.focus({ preventScroll: true });
  audio?.querySelector('track')?.addEventListener('load', resume);
}

// --- selection -----------------------------------------------------------------------------------------------------

// Ticks all of a list, and follows what is ticked there.
function selectAll(box) {
  const list = byId(box.dataset.all);
  const ticks = () => all('input[type=checkbox]', list);
  box.parentElement.hidden = false;
  box.addEventListener('change', () => ticks().forEach((tick) => { tick.checked = box.checked; }));
  list.addEventListener('change', () => {
    const checked = ticks().filter((tick) => tick.checked).length;
    box.checked = checked > 0 && checked === ticks().length;
    box.indeterminate = checked > 0 && !box.checked;
  });
}

// --- logo ----------------------------------------------------------------------------------------------------------

// The logo of a product that does not load leaves no gap.
function removeIfBroken(logo) {
  const remove = () => logo.remove();
  if (logo.complete && logo.naturalWidth === 0) remove();
  else logo.addEventListener('error', remove);
}

// --- start ---------------------------------------------------------------------------------------------------------

function initialise(within) {
  showTimes(within);
  for (const button of all('[data-copy]', within)) button.hidden = false;
}

// The response to a form is shown at the form's address, which takes no GET: it gets the address of its page.
const path = document.body.dataset.path;
for (const part of all('[data-live]')) seen.set(part.id, content(part));
initialise(document);
all('[data-check]').forEach(watchUrl);
all('input[data-local]').forEach(localise);
all('input[data-all]').forEach(selectAll);
all('.brand img').forEach(removeIfBroken);
const audio = byId('audio');
if (audio) for (const prepare of [watchLoading, followSound, controlSound, linkMoments]) prepare(audio);
const searchForm = byId('search');
if (searchForm) searchTranscript(searchForm, audio);
const enterForm = document.querySelector('form[data-go]');
if (enterForm) {
  // Submitting uses the link up; remove it from the address and the history.
  history.replaceState(null, '', path);
  enterForm.requestSubmit();
}
follow();
