// What pages gain from a script: they follow what happens, times are in the person's zone, URLs are checked while they are
// typed, and the transcript follows the sound. Without it everything else works.
'use strict';

const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
// As people write it where they live, if they speak the page's language there.
const spoken = document.documentElement.lang;
const lang = navigator.languages.find((tag) => tag.split('-')[0] === spoken) ?? spoken;

// --- times ---------------------------------------------------------------------------------------------------------

const when = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'medium' });
const exact = new Intl.DateTimeFormat(lang, {
  dateStyle: 'full', timeStyle: 'long',
});

function showTimes(within) {
  for (const time of all('time', within)) {
    const moment = new Date(time.dateTime);
    time.textContent = when.format(moment);
    time.title = `${exact.format(moment)} · ${time.dateTime}`;
  }
}

// --- what is copied ------------------------------------------------------------------------------------------------

function say(text) {
  const said = byId('said');
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ''; }, 2500);
}

async function copy(button) {
  const source = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    say(document.body.dataset.copied);
  } catch {
    // Not allowed here (plain HTTP): mark it, so that it can be copied by hand.
    getSelection().selectAllChildren(source);
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy]');
  if (button) copy(button);
});

// --- what follows by itself ----------------------------------------------------------------------------------------

// A part is taken from the page as it would be now. Details that somebody opened stay open, and what has the keyboard
// keeps it.
function replace(part, fresh) {
  const open = new Set(all('details[open]', part).map((details) => all('details', part).indexOf(details)));
  const focused = part.contains(document.activeElement) ? all('a, button, summary, pre', part).indexOf(document.activeElement) : -1;
  part.replaceChildren(...fresh.childNodes);
  all('details', part).forEach((details, at) => { if (open.has(at)) details.open = true; });
  if (focused >= 0) all('a, button, summary, pre', part)[focused]?.focus({ preventScroll: true });
  enliven(part);
}

const seen = new Map();

async function follow() {
  const parts = all('[data-live]');
  if (parts.length === 0) return;
  const pause = Math.min(...parts.map((part) => Number(part.dataset.live)));
  await new Promise((wake) => setTimeout(wake, pause));
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store' });
      // Signed out, or gone: what is on the page stays there.
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      let changed = false;
      for (const part of parts) {
        const found = fresh.getElementById(part.id);
        if (!found || found.innerHTML === seen.get(part.id)) continue;
        seen.set(part.id, found.innerHTML);
        replace(part, found);
        changed = true;
      }
      if (changed) say(byId('state')?.textContent.trim() || document.body.dataset.updated);
    } catch {
      // The network may come back.
    }
  }
  follow();
}

// --- URLs ----------------------------------------------------------------------------------------------------------

function watchUrl(input) {
  const said = byId('url-said');
  const csrf = input.form.elements.csrf.value;
  let asked = 0;
  async function check(look) {
    const url = input.value.trim();
    asked += 1;
    const mine = asked;
    if (url === '' || url === input.defaultValue) return said.replaceChildren();
    try {
      const body = new URLSearchParams({ csrf, url, look: look ? '1' : '' });
      const answer = await fetch(input.dataset.check, { method: 'POST', body });
      if (!answer.ok || mine !== asked) return;
      const { level, text, platform } = await answer.json();
      const message = document.createElement('p');
      message.className = `message ${level}`;
      message.textContent = text;
      said.replaceChildren(message);
      input.setAttribute('aria-invalid', String(level === 'bad'));
      for (const details of all('[data-platform]')) if (platform && platform !== 'own') details.open = details.dataset.platform === platform;
    } catch {
      // Save checks it too.
    }
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

// --- ranges of time: shown in the person's zone, sent in UTC ---------------------------------------------------------

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

// --- listening -----------------------------------------------------------------------------------------------------

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

// --- begin ---------------------------------------------------------------------------------------------------------

function enliven(within) {
  showTimes(within);
  for (const button of all('[data-copy]', within)) button.hidden = false;
}

// An answer to a form that was sent is shown at the form's address, where nothing can be fetched: it gets its own.
const path = document.body.dataset.path;
for (const part of all('[data-live]')) seen.set(part.id, part.innerHTML);
enliven(document);
all('[data-check]').forEach(watchUrl);
all('input[data-local]').forEach(localise);
const audio = byId('audio');
if (audio) followSound(audio);
const entrance = document.querySelector('form[data-go]');
if (entrance) {
  // The link is used up by this; nothing of it stays in the address or the history.
  history.replaceState(null, '', path);
  entrance.requestSubmit();
}
follow();
