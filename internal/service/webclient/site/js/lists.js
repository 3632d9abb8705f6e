// The lists of the middle pane: people, conversations, calls.

import { h, fill, avatar, icon, iconButton, toast } from './dom.js';
import { t, whenShort, duration } from './i18n.js';
import { missed } from './calls.js';

const collator = new Intl.Collator(undefined, { sensitivity: 'base' });

/** A row that leads to a conversation. */
function row({ people, peer, key, title, sub, side, current, extra }) {
  const state = people.presence.get(peer);
  const name = title ?? people.nameOf(peer);
  return h('li', { class: 'row' },
    h('a', { href: `#/chat/${encodeURIComponent(peer)}`, 'data-key': `${key}:${peer}`, 'aria-current': current ? 'page' : undefined },
      avatar(name, state ?? 'unknown'),
      h('span', { class: 'row-text' },
        h('span', { class: 'row-title' }, name, h('span', { class: 'unseen' }, `, ${t(`presence.${state ?? 'unknown'}`)}`)),
        h('span', { class: 'row-sub' }, sub)),
      side),
    extra);
}

const empty = (glyph, text, hint) => h('div', { class: 'empty' }, icon(glyph), h('p', {}, text), hint && h('p', { class: 'hint' }, hint));

/** Contacts, and whom a search finds. */
export function peopleList({ people, route }) {
  const body = h('div', { class: 'scroll' });
  let found = null; let asked = 0; let timer;
  const input = h('input', {
    type: 'search', id: 'search', placeholder: t('people.search'), 'aria-label': t('people.search'), autocomplete: 'off', spellcheck: 'false',
    oninput: () => { clearTimeout(timer); timer = setTimeout(search, 200); },
  });
  const hint = h('p', { class: 'unseen', role: 'status' });

  async function search() {
    const text = input.value.trim();
    const mine = ++asked;
    if (!text) { found = null; hint.textContent = ''; return draw(); }
    try {
      const list = await people.search(text);
      if (mine !== asked) return undefined;
      found = list;
      for (const p of list.slice(0, 30)) people.watch(p.aor);
      hint.textContent = t('people.found', { n: list.length });
    } catch {
      if (mine === asked) { found = []; toast(t('people.searchfailed')); }
    }
    return draw();
  }

  async function change(aor, name, add) {
    try {
      await (add ? people.add(aor) : people.remove(aor));
      toast(t(add ? 'people.added' : 'people.removed', { name }));
    } catch {
      toast(t('people.changefailed'));
    }
  }

  function person(aor, sub) {
    const name = people.nameOf(aor);
    const is = people.contacts.has(aor);
    const state = people.presence.get(aor) ?? 'unknown';
    return row({
      people, peer: aor, key: 'person', sub: sub || t(`presence.${state}`), current: route() === aor,
      extra: iconButton(is ? 'remove' : 'add', t(is ? 'people.remove' : 'people.add', { name }), () => change(aor, name, !is), { 'data-key': `change:${aor}`, class: 'icon-button quiet' }),
    });
  }

  function draw() {
    if (found) {
      fill(body, found.length ? h('ul', { 'aria-label': t('people.results') }, found.map((p) => person(p.aor, p.title || p.aor))) : empty('search', t('people.nobody')));
      return;
    }
    const contacts = [...people.contacts.keys()].sort((a, b) => collator.compare(people.nameOf(a), people.nameOf(b)));
    fill(body, contacts.length ? h('ul', { 'aria-label': t('nav.people') }, contacts.map((aor) => person(aor))) : empty('people', t('people.empty'), t('people.emptyhint')));
  }

  draw();
  return { el: h('div', { class: 'list' }, h('h2', {}, t('nav.people')), h('div', { class: 'search' }, icon('search'), input), hint, body), draw };
}

/** Conversations, the latest first. */
export function chatList({ people, chats, route }) {
  const body = h('div', { class: 'scroll' });
  function draw() {
    const list = chats.recent();
    fill(body, list.length ? h('ul', { 'aria-label': t('nav.chats') }, list.map((c) => {
      const last = c.messages.at(-1);
      const sub = c.draft ? t('chat.draft', { text: c.draft }) : (last.own ? t('chat.you', { text: last.text }) : last.text);
      return row({
        people, peer: c.peer, key: 'chat', sub, current: route() === c.peer,
        side: h('span', { class: 'row-side' }, last && h('time', {}, whenShort(last.at)),
          c.unread > 0 && h('span', { class: 'count' }, String(c.unread), h('span', { class: 'unseen' }, ` ${t('chat.unread')}`))),
      });
    })) : empty('chat', t('chat.empty'), t('chat.emptyhint')));
  }
  draw();
  return { el: h('div', { class: 'list' }, h('h2', {}, t('nav.chats')), body), draw };
}

// Reasons that are sentences, in a few words.
const short = { 'call.missed': 'calls.missed', 'call.nomedia': 'calls.nomedia', 'call.nomediain': 'calls.nomedia', 'call.nodevice': 'calls.nodevice', 'call.transferred': 'calls.transferred' };

const kinds = { all: () => true, missed, out: (c) => c.own, in: (c) => !c.own && !missed(c) };

/** A number to call, and calls of the past, the latest first. */
export function callList({ people, calls }) {
  const body = h('div', { class: 'scroll' });
  let kind = 'all';

  const dial = h('input', {
    id: 'dial', type: 'text', inputMode: 'tel', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none', placeholder: t('calls.dial'), 'aria-label': t('calls.dial'),
    value: sessionStorage.getItem('dial') ?? '', oninput: () => sessionStorage.setItem('dial', dial.value),
  });
  const pad = h('div', { class: 'keypad dialpad', hidden: true, role: 'group', 'aria-label': t('call.keypad') },
    [...'123456789*0+'].map((k) => h('button', { type: 'button', onclick: () => { dial.value += k; sessionStorage.setItem('dial', dial.value); } }, k)));
  const padButton = iconButton('keypad', t('call.keypad'), () => { pad.hidden = !pad.hidden; padButton.setAttribute('aria-pressed', String(!pad.hidden)); },
    { 'aria-pressed': 'false', id: 'dialpad', class: 'icon-button quiet' });
  const form = h('form', {
    class: 'dial', onsubmit: (e) => {
      e.preventDefault();
      const last = calls.past.findLast((c) => c.own);
      if (!dial.value.trim() && last) { // as telephones do: once for the last number, once more to call it
        dial.value = last.peer.endsWith(`@${people.domain}`) ? last.peer.split('@')[0] : last.peer;
        return dial.select();
      }
      const peer = people.address(dial.value);
      if (!peer) return toast(t('calls.noaddress'));
      dial.value = '';
      sessionStorage.removeItem('dial');
      return calls.call(peer, false);
    },
  }, dial, padButton, h('button', { type: 'submit', class: 'primary icon-button', id: 'dial-call', title: t('call.startaudio'), 'aria-label': t('call.startaudio') }, icon('phone')));

  const tabs = h('div', { class: 'tabs', role: 'group', 'aria-label': t('calls.which') }, Object.keys(kinds).map((k) => h('button', {
    type: 'button', 'data-kind': k, 'aria-pressed': String(k === kind), onclick: () => {
      kind = k;
      for (const b of tabs.children) b.setAttribute('aria-pressed', String(b.dataset.kind === k));
      draw();
    },
  }, t(`calls.kind.${k}`))));

  function draw() {
    const list = calls.past.filter(kinds[kind]).slice(-200).reverse();
    fill(body, list.length ? h('ul', { 'aria-label': t('nav.calls') }, list.map((c) => {
      const gone = missed(c);
      const how = c.lasted ? duration(c.lasted) : t(short[c.text] ?? (c.text || 'call.ended'), { name: people.nameOf(c.peer) });
      return row({
        people, peer: c.peer, key: `call${c.id}`,
        sub: h('span', { class: gone ? 'missed' : '' }, icon(gone ? 'missed' : c.own ? 'out' : 'in'), h('span', { class: 'unseen' }, t(c.own ? 'calls.out' : 'calls.in')), ` ${how}`),
        side: h('span', { class: 'row-side' }, h('time', {}, whenShort(c.at))),
        extra: iconButton(c.video ? 'video' : 'phone', t(c.video ? 'call.startvideo' : 'call.start', { name: people.nameOf(c.peer) }), () => calls.call(c.peer, c.video), { class: 'icon-button quiet', 'data-key': `again:${c.id}` }),
      });
    })) : empty('phone', t('calls.empty'), t('calls.emptyhint')));
  }
  draw();
  return { el: h('div', { class: 'list' }, h('h2', {}, t('nav.calls')), form, pad, tabs, body), draw };
}
