// The frame around everything: navigation, the panes, presence of oneself, notifications.

import { h, fill, avatar, icon, announce, toast } from './dom.js';
import { t } from './i18n.js';
import { People, states } from './people.js';
import { Chats } from './chats.js';
import { Calls } from './calls.js';
import { History } from './history.js';
import { Relay } from './relay.js';
import { callList, chatList, peopleList } from './lists.js';
import { conversation } from './conversation.js';
import { callView } from './callview.js';
import { settings } from './settings.js';
import { forget } from './signin.js';

const IDLE = 10 * 60_000;

/** Shows the client of a user who is signed in, until he signs out. */
export async function showShell(app, agent) {
  const history = await History.open(agent.aor);
  const people = new People(agent);
  const chats = new Chats(agent, people, history);
  const relay = new Relay(agent);
  const calls = new Calls(agent, people, history, relay);
  await Promise.all([chats.load(), calls.load()]);

  let mine = 'available'; let idle = false; let told;
  function tell() {
    const state = calls.current && !calls.current.over && mine !== 'offline' && mine !== 'dnd' ? 'call' : idle && mine === 'available' ? 'away' : mine;
    if (state === told || !agent.online) return;
    told = state;
    people.publish(state).catch(() => { told = undefined; });
    drawMe();
  }

  // Panes
  const peerOf = () => {
    try {
      return decodeURIComponent(location.hash.match(/^#\/chat\/(.+)$/)?.[1] ?? '') || null;
    } catch { return null; } // no address that we made
  };
  const context = { people, chats, calls, history, agent, route: peerOf };
  const lists = { people: peopleList(context), chats: chatList(context), calls: callList(context) };
  const call = callView(context);
  let list = 'people'; let pane;
  const listPane = h('div', { class: 'pane-list' });
  const mainPane = h('main', { id: 'main', class: 'pane-main', tabindex: '-1' });
  const banner = h('p', { class: 'banner', role: 'alert', hidden: true }, t('shell.offline'));
  const floating = h('div', { class: 'floating' });

  const tabs = { people: 'people', chats: 'chat', calls: 'phone' };
  const links = Object.fromEntries([...Object.entries(tabs), ['settings', 'gear']].map(([name, glyph]) => [name,
    h('a', { href: `#/${name}` }, icon(glyph), h('span', {}, t(`nav.${name}`)), h('span', { class: 'count', hidden: true }))]));

  const face = h('span');
  const menu = h('select', {
    id: 'my-presence', 'aria-label': t('shell.presence'), onchange: () => { mine = menu.value; tell(); announce(t(`presence.${mine}`)); },
  }, states.map((s) => h('option', { value: s }, t(`presence.self.${s}`))));
  const me = h('div', { class: 'me' }, face, menu);

  function drawMe() { fill(face, avatar(people.nameOf(agent.aor), told ?? mine)); }

  function go() {
    const peer = peerOf();
    const tab = location.hash.slice(2);
    chats.open = peer;
    pane?.left?.();
    if (tab in lists) list = tab;
    app.firstElementChild?.classList.toggle('detail', !!peer || tab === 'settings');
    const back = () => { location.hash = `#/${list}`; };
    if (peer) pane = conversation({ ...context, peer, back, callArea: call.el });
    else if (tab === 'settings') pane = settings({ ...context, back, signOut });
    else pane = null;
    if (!peer || (calls.current && calls.current.peer !== peer)) floating.append(call.el);
    fill(listPane, lists[list].el);
    fill(mainPane, pane ? pane.el : h('div', { class: 'empty welcome' }, h('img', { src: 'icon.svg', alt: '', width: 72, height: 72 }), h('p', {}, t('shell.welcome'))));
    for (const [name, a] of Object.entries(links)) {
      if (name === (tab === 'settings' ? 'settings' : list)) a.setAttribute('aria-current', 'page'); else a.removeAttribute('aria-current');
    }
    draw();
    pane?.shown();
  }

  let asked = false;
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      if (list === 'calls' && !document.hidden) calls.look();
      lists[list].draw();
      pane?.draw();
      call.draw();
      const n = chats.unread() + calls.missed;
      mark(links.chats, chats.unread(), t('chat.unread'));
      mark(links.calls, calls.missed, t('calls.unseen'));
      document.title = n ? `(${n}) Parley` : 'Parley';
      drawMe();
    });
  }

  function mark(link, n, what) {
    const count = link.querySelector('.count');
    count.hidden = !n;
    fill(count, n ? String(n) : '', n && h('span', { class: 'unseen' }, ` ${what}`));
  }

  // Browsers ask for permission once. The question comes when somebody has written or called, and knows what for.
  const question = h('div', { class: 'question', hidden: true }, h('p', {}, t('notify.question')),
    h('button', { type: 'button', class: 'primary', onclick: async () => { question.hidden = true; await Notification.requestPermission(); } }, t('notify.allow')),
    h('button', { type: 'button', onclick: () => { question.hidden = true; localStorage.setItem('notify', 'no'); } }, t('notify.later')));
  function wonder() {
    question.hidden = globalThis.Notification?.permission !== 'default' || localStorage.getItem('notify') === 'no';
  }

  // A call is shown in the conversation with its peer; from elsewhere one is brought there.
  function show(peer) { location.hash = `#/chat/${encodeURIComponent(peer)}`; }

  async function notify(title, body, peer, tag) {
    if (!document.hidden || globalThis.Notification?.permission !== 'granted') return;
    const registration = await navigator.serviceWorker?.getRegistration();
    const options = { body, tag, icon: 'icon-192.png', badge: 'icon-192.png', data: peer, renotify: true, requireInteraction: tag === 'call' };
    if (registration) return void registration.showNotification(title, options);
    const n = new Notification(title, options);
    n.onclick = () => { focus(); show(peer); n.close(); };
  }

  async function unnotify(tag) {
    const registration = await navigator.serviceWorker?.getRegistration();
    for (const n of (await registration?.getNotifications({ tag })) ?? []) n.close();
  }

  const stop = new AbortController();
  const on = (target, type, fn) => target.addEventListener(type, fn, { signal: stop.signal });

  on(people, 'change', draw);
  on(chats, 'change', draw);
  let rang = false;
  on(calls, 'change', () => {
    const rings = calls.current?.state === 'incoming';
    if (rang && !rings) { unnotify('call'); wonder(); }
    rang = rings;
    if (calls.current?.own && calls.current.state === 'preparing') show(calls.current.peer);
    tell();
    draw();
  });
  on(chats, 'arrived', ({ detail: m }) => {
    wonder();
    announce(t('chat.arrived', { name: people.nameOf(m.peer), text: m.text }));
    notify(people.nameOf(m.peer), m.text, m.peer, `chat:${m.peer}`);
  });
  on(calls, 'incoming', ({ detail: c }) => {
    notify(people.nameOf(c.peer), t('call.incoming'), c.peer, 'call');
    show(c.peer);
  });
  on(calls, 'back', ({ detail: c }) => {
    toast(t(c.text, { name: people.nameOf(c.peer) }));
    show(calls.current.peer);
  });
  on(calls, 'referred', ({ detail: { from, call: c } }) => {
    toast(t('call.referred', { from: people.nameOf(from), name: people.nameOf(c.peer) }));
    show(c.peer);
  });
  on(calls, 'unable', ({ detail: c }) => toast(t('call.nomediain', { name: people.nameOf(c.peer) })));
  on(agent, 'online', () => { banner.hidden = true; told = undefined; tell(); });
  on(agent, 'offline', () => { banner.hidden = false; });
  on(window, 'hashchange', go);
  on(document, 'visibilitychange', draw);
  if (navigator.serviceWorker) on(navigator.serviceWorker, 'message', (e) => show(e.data));
  on(window, 'beforeunload', (e) => { if (calls.current && !calls.current.over) e.preventDefault(); });

  let last = Date.now();
  for (const type of ['pointerdown', 'keydown', 'pointermove']) on(window, type, () => { last = Date.now(); if (idle) { idle = false; tell(); } });
  const watch = setInterval(() => { if (!idle && Date.now() - last > IDLE) { idle = true; tell(); } }, 30_000);

  let leave;
  const left = new Promise((resolve) => { leave = resolve; });
  async function signOut() {
    calls.current?.hangUp();
    forget();
    stop.abort();
    clearInterval(watch);
    await Promise.race([people.publish('offline').catch(() => {}), new Promise((r) => { setTimeout(r, 1000); })]);
    pane?.left?.();
    relay.close();
    agent.signOut();
    history.close();
    document.title = 'Parley';
    document.getElementById('announcer').textContent = '';
    leave();
  }

  people.learn(agent.aor);
  on(people, 'change', () => agent.setName(people.names.get(agent.aor) ?? null));
  fill(app, h('div', { class: 'shell' }, banner,
    h('a', { class: 'skip', href: '#main', onclick: (e) => { e.preventDefault(); mainPane.focus(); } }, t('shell.skip')),
    h('nav', { class: 'rail', 'aria-label': t('shell.nav') }, me, Object.values(links)),
    h('aside', { class: 'pane-side', 'aria-label': t('shell.list') }, listPane, question), mainPane, floating));
  go();
  tell();
  await left;
}
