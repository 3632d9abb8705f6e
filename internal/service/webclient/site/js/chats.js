// Conversations: what was written to whom, what became of it, and what waits to be sent.

import { aorOf } from './sip.js';

/** Conversations of a user. Events: "change", and "arrived" with the message as detail. */
export class Chats extends EventTarget {
  #agent; #people; #history;
  all = new Map(); // address to {peer, messages, unread, draft}
  open = null; // who is on the screen

  constructor(agent, people, history) {
    super();
    this.#agent = agent;
    this.#people = people;
    this.#history = history;
    agent.addEventListener('message', (e) => this.#received(e.detail));
    agent.addEventListener('online', () => this.#resume());
  }

  async load() {
    const marks = await this.#history.marks();
    for (const m of await this.#history.all('messages')) {
      if (m.state === 'sending') m.state = 'failed'; // the page was closed meanwhile
      const c = this.with(m.peer);
      c.messages.push(m);
      if (!m.own && marks.has('read') && m.at > Math.max(marks.get('read'), marks.get(`read:${m.peer}`) ?? 0)) c.unread++;
    }
    // What came before unread messages were counted over reloads has been read.
    if (!marks.has('read')) this.#history.mark('read', Date.now()).catch(() => {});
    for (const [peer, text] of await this.#history.drafts()) this.with(peer).draft = text;
    for (const peer of this.all.keys()) { this.#people.learn(peer); this.#people.watch(peer); }
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event('change')); }

  /** The conversation with somebody, new if there is none. */
  with(peer) {
    if (!this.all.has(peer)) this.all.set(peer, { peer, messages: [], unread: 0, draft: '' });
    return this.all.get(peer);
  }

  /** Conversations in which something was written, the latest first. */
  recent() {
    const at = (c) => c.messages.at(-1)?.at ?? (c.draft ? Date.now() : 0);
    return [...this.all.values()].filter(at).sort((a, b) => at(b) - at(a));
  }

  unread() { return [...this.all.values()].reduce((n, c) => n + c.unread, 0); }

  read(peer) {
    const c = this.with(peer);
    if (!c.unread) return;
    c.unread = 0;
    this.#history.mark(`read:${peer}`, c.messages.at(-1).at).catch(() => {});
    this.#changed();
  }

  draft(peer, text) {
    this.with(peer).draft = text;
    this.#history.draft(peer, text).catch(() => {});
  }

  /** Sends a text. It is kept before it is sent. */
  async send(peer, text) {
    const m = { id: crypto.randomUUID(), peer, own: true, at: Date.now(), text, state: 'sending' };
    this.with(peer).messages.push(m);
    this.draft(peer, '');
    await this.#attempt(m);
  }

  /** Tries again to send what failed. */
  async retry(m) {
    m.state = 'sending';
    await this.#attempt(m);
  }

  /** Sends what was written while the server was away. */
  async #resume() {
    for (const c of this.all.values()) {
      for (const m of c.messages.filter((x) => x.state === 'waiting')) await this.retry(m);
    }
  }

  async #attempt(m) {
    if (!this.#agent.online) m.state = 'waiting';
    this.#changed();
    if (m.state === 'waiting') return void await this.#history.keep('messages', m).catch(() => {});
    await this.#history.keep('messages', m).catch(() => {});
    try {
      const r = await this.#agent.request('MESSAGE', m.peer, { body: m.text, type: 'text/plain;charset=UTF-8' });
      m.state = r.status_code === 202 ? 'stored' : 'sent';
      delete m.code;
    } catch (e) {
      m.state = 'failed';
      m.code = e.code;
    }
    await this.#history.keep('messages', m).catch(() => {});
    this.#changed();
  }

  #received({ message, request }) {
    const type = (request.getHeader('content-type') ?? 'text/plain').toLowerCase();
    if (!type.startsWith('text/')) return; // typing notices and the like
    const peer = aorOf(message.remote_identity.uri);
    const body = request.body ?? '';
    const text = type.startsWith('text/html') ? new DOMParser().parseFromString(body, 'text/html').body.textContent : body;
    // A message that the server repeats after a crash comes with the same Call-ID.
    const id = `in:${request.call_id}:${request.cseq}`;
    const c = this.with(peer);
    if (c.messages.some((m) => m.id === id)) return;
    const m = { id, peer, own: false, at: Date.now(), text, state: 'received' };
    c.messages.push(m);
    if (this.open !== peer || document.hidden) c.unread++;
    else this.#history.mark(`read:${peer}`, m.at).catch(() => {});
    this.#people.learn(peer, message.remote_identity.display_name);
    this.#people.learn(peer);
    this.#people.watch(peer);
    this.#history.keep('messages', m).catch(() => {});
    this.#changed();
    this.dispatchEvent(new CustomEvent('arrived', { detail: m }));
  }
}
