// One conversation: who it is with, what was written, and what is about to be.

import { h, fill, avatar, icon, iconButton } from './dom.js';
import { t, when } from './i18n.js';

const link = /\bhttps?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]]/g;

/** Text with its links made to be followed. */
function linked(text) {
  const out = [];
  let last = 0;
  for (const m of text.matchAll(link)) {
    out.push(text.slice(last, m.index), h('a', { href: m[0], target: '_blank', rel: 'noopener noreferrer' }, m[0]));
    last = m.index + m[0].length;
  }
  return [...out, text.slice(last)];
}

function status(m, chats) {
  switch (m.state) {
    case 'sending': return h('span', { class: 'state' }, t('chat.sending'));
    case 'waiting': return h('span', { class: 'state' }, t('chat.waiting'));
    case 'stored': return h('span', { class: 'state' }, t('chat.stored'));
    case 'failed': return h('span', { class: 'state failed' }, t(m.code === 404 ? 'chat.nobody' : m.code === 413 ? 'chat.toolong' : 'chat.failed'), ' ',
      h('button', { type: 'button', class: 'link', 'data-key': `retry:${m.id}`, onclick: () => chats.retry(m) }, icon('retry'), t('chat.retry')));
    default: return undefined;
  }
}

/** The pane of a conversation. */
export function conversation({ people, chats, calls, peer, back, callArea }) {
  const chat = chats.with(peer);
  people.learn(peer);
  people.watch(peer);
  const heading = h('h2', { id: 'peer' });
  const presence = h('p', { class: 'row-sub' });
  const face = h('span');
  const log = h('div', { class: 'log', role: 'log', tabindex: '0', 'aria-label': t('chat.log') });
  const box = h('textarea', {
    id: 'composer', rows: 1, 'aria-label': t('chat.write'), placeholder: t('chat.write'), maxLength: 20000, value: chat.draft,
    oninput: () => { chats.draft(peer, box.value); grow(); },
    onkeydown: (e) => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(); } },
  });

  function grow() {
    box.style.height = 'auto';
    box.style.height = `${Math.min(box.scrollHeight + 2, 160)}px`;
    box.style.overflowY = box.scrollHeight > 160 ? 'auto' : 'hidden';
  }

  function send() {
    const text = box.value.trim();
    if (!text) return;
    box.value = '';
    grow();
    chats.send(peer, text);
    box.focus();
  }

  // Whoever reads the end keeps seeing it when a call takes room or gives it back.
  let end = true;
  const keepEnd = new ResizeObserver(() => { if (end) log.scrollTop = log.scrollHeight; });
  log.addEventListener('scroll', () => { end = log.scrollHeight - log.scrollTop - log.clientHeight < 60; });
  keepEnd.observe(log);

  let shown = -1;
  function draw() {
    const name = people.nameOf(peer);
    const state = people.presence.get(peer) ?? 'unknown';
    heading.textContent = name;
    presence.textContent = name === peer ? t(`presence.${state}`) : `${t(`presence.${state}`)} · ${peer}`;
    fill(face, avatar(name, state));
    const atEnd = end;
    let day = '';
    fill(log, chat.messages.slice(-500).map((m, i, all) => {
      const d = new Date(m.at).toDateString();
      const head = d !== day || all[i - 1]?.own !== m.own || m.at - all[i - 1].at > 300_000;
      day = d;
      return h('div', { class: `message ${m.own ? 'own' : 'theirs'} ${head ? 'head' : ''}` },
        head && h('p', { class: 'meta' }, h('span', { class: 'unseen' }, `${m.own ? t('chat.me') : name}, `), h('time', {}, when(m.at))),
        h('p', { class: 'bubble' }, linked(m.text)), status(m, chats));
    }), chat.messages.length === 0 && h('div', { class: 'empty' }, icon('chat'), h('p', {}, t('chat.begin', { name }))));
    if (atEnd || shown < 0 || chat.messages.length > shown && chat.messages.at(-1)?.own) log.scrollTop = log.scrollHeight;
    shown = chat.messages.length;
    if (!document.hidden) chats.read(peer);
  }

  const el = h('section', { class: 'conversation', 'aria-labelledby': 'peer' },
    h('header', {},
      iconButton('back', t('nav.back'), back, { class: 'icon-button back' }),
      face,
      h('div', { class: 'row-text' }, heading, presence),
      iconButton('phone', t('call.startaudio'), () => calls.call(peer, false), { id: 'call-audio' }),
      iconButton('video', t('call.startvideocall'), () => calls.call(peer, true), { id: 'call-video' })),
    callArea, log,
    h('form', { class: 'composer', onsubmit: (e) => { e.preventDefault(); send(); } }, box,
      h('button', { type: 'submit', class: 'primary icon-button', title: t('chat.send'), 'aria-label': t('chat.send') }, icon('send'))));
  return { el, draw, shown: () => { draw(); grow(); log.scrollTop = log.scrollHeight; if (matchMedia('(min-width: 800px)').matches) box.focus(); } };
}
