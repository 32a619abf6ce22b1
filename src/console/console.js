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
  const fresh = new DOMParser().parseFromString(await (await fetch(location.href)).text(), 'text/html');
  const token = fresh.querySelector('input[name=csrf]')?.value;
  for (const field of all('input[name=csrf]')) if (token) field.value = token;
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

function followSound(audio) {
  const lines = all('.transcript li');
  const box = byId('follow');
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  let now;
  if (lines.length > 0) {
    box.hidden = false;
    byId('follow-label').hidden = false;
  }
  audio.addEventListener('timeupdate', () => {
    const at = audio.currentTime * 1000;
    const line = lines.findLast((candidate) => Number(candidate.dataset.start) <= at);
    if (line === now) return;
    now?.classList.remove('now');
    now?.removeAttribute('aria-current');
    now = line;
    now?.classList.add('now');
    now?.setAttribute('aria-current', 'true');
    if (box.checked && !audio.paused) now?.scrollIntoView({ block: 'center', behavior: calm.matches ? 'auto' : 'smooth' });
  });
  for (const line of lines) {
    line.querySelector('.at').addEventListener('click', (event) => {
      event.preventDefault();
      audio.currentTime = Number(line.dataset.start) / 1000;
      audio.play();
    });
  }
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
const audio = byId('audio');
if (audio) followSound(audio);
const enterForm = document.querySelector('form[data-go]');
if (enterForm) {
  // Submitting uses the link up; remove it from the address and the history.
  history.replaceState(null, '', path);
  enterForm.requestSubmit();
}
follow();
