// Who there is: the contact list that the server keeps, presence, and search.

import { numberOf } from './sip.js';

const xml = (text) => new DOMParser().parseFromString(text, 'application/xml');
const escape = (s) => String(s).replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);

const SOAP = 'http://schemas.xmlsoap.org/soap/envelope/';
const METHODS = 'http://schemas.microsoft.com/winrtc/2002/11/sip';
const CONTACTS = 'vnd-microsoft-roaming-contacts';

/** What one may say of oneself, in the order of the menu. */
export const states = ['available', 'busy', 'dnd', 'away', 'offline'];

const activities = { available: '', busy: 'busy', dnd: 'presentation', away: 'away', call: 'on-the-phone', offline: '' };
const meaning = {
  busy: 'busy', 'on-the-phone': 'call', meeting: 'busy', appointment: 'busy', presentation: 'dnd', away: 'away', sleeping: 'away', vacation: 'away', holiday: 'away',
};

/** Reads a presence document (RFC 3863, RFC 4480). */
export function readPresence(text) {
  const doc = xml(text);
  const open = [...doc.getElementsByTagNameNS('*', 'basic')].some((b) => b.textContent.trim() === 'open');
  if (!open) return 'offline';
  for (const a of doc.getElementsByTagNameNS('urn:ietf:params:xml:ns:pidf:rpid', 'activities')) {
    for (const k of a.children) if (meaning[k.localName]) return meaning[k.localName];
  }
  return 'available';
}

/** Writes the presence document of this browser. */
export function writePresence(aor, state) {
  const act = activities[state] && `<dm:person id="web"><rpid:activities><rpid:${activities[state]}/></rpid:activities></dm:person>`;
  return `<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"`
    + ` xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:${escape(aor)}"><tuple id="web"><status><basic>${state === 'offline' ? 'closed' : 'open'}</basic></status>`
    + `</tuple>${act}</presence>`;
}

/** Contacts, names and presence of a user who is signed in. Event: "change". */
export class People extends EventTarget {
  #agent; #watched = new Map(); #etag; #publishing = Promise.resolve(); #timer; #asked = new Set(); #delta = 0;
  contacts = new Map(); // address to {name, groups}
  groups = new Map();
  presence = new Map(); // address to state
  names = new Map();

  constructor(agent) {
    super();
    this.#agent = agent;
    agent.subscribe(agent.aor, CONTACTS, `application/${CONTACTS}+xml`, (body) => this.#listed(body));
    agent.addEventListener('offline', () => { this.presence.clear(); this.#etag = undefined; this.#changed(); });
  }

  #changed() { this.dispatchEvent(new Event('change')); }

  /** How somebody is called, as far as that is known yet. */
  nameOf(aor) { return this.contacts.get(aor)?.name || this.names.get(aor) || numberOf(aor) || aor; }

  get domain() { return this.#agent.domain; }

  /** The address that somebody typed: a whole one, the part before the domain, or a telephone number; undefined for none. */
  address(text) {
    const typed = text.trim().toLowerCase().replace(/^(sips?|tel):/, '');
    const number = typed.replace(/[\s().\/-]/g, '');
    if (/^\+?[\d*]+$/.test(number)) return `${number}@${this.#agent.domain}`;
    if (/^[^\s@<>"?;,]+$/.test(typed)) return `${typed}@${this.#agent.domain}`;
    return /^[^\s@<>"?;,]+@[^\s@<>"?;,]+$/.test(typed) ? typed : undefined;
  }

  /** Remembers how somebody is called, and asks the directory when nobody knows. */
  learn(aor, name) {
    if (name && name !== aor && this.names.get(aor) !== name) { this.names.set(aor, name); this.#changed(); }
    if (!name && !this.names.has(aor) && !this.#asked.has(aor)) {
      this.#asked.add(aor);
      if (numberOf(aor)) return void this.#find('telephoneNumber', numberOf(aor), 2).then((found) => { if (found.length === 1) this.learn(aor, found[0].name); }, () => this.#asked.delete(aor));
      this.#find('msRTCSIP-PrimaryUserAddress', aor, 1).catch(() => this.#asked.delete(aor));
    }
  }

  /** Begins to watch somebody. */
  watch(aor) {
    if (this.#watched.has(aor) || !/@/.test(aor) || numberOf(aor)) return;
    this.#watched.set(aor, this.#agent.subscribe(aor, 'presence', 'application/pidf+xml', (body) => {
      this.presence.set(aor, readPresence(body));
      this.#changed();
    }));
  }

  /** Says how one is. Changes are made one after the other. */
  publish(state) {
    clearTimeout(this.#timer);
    this.#publishing = this.#publishing.catch(() => {}).then(() => this.#publish(state));
    return this.#publishing;
  }

  async #publish(state, again = true) {
    const headers = ['Event: presence', 'Expires: 600'];
    if (this.#etag) headers.push(`SIP-If-Match: ${this.#etag}`);
    try {
      const r = await this.#agent.request('PUBLISH', this.#agent.aor, { body: writePresence(this.#agent.aor, state), type: 'application/pidf+xml', headers });
      this.#etag = r.getHeader('SIP-ETag');
      const seconds = parseInt(r.getHeader('Expires') ?? '600', 10);
      this.#timer = setTimeout(() => this.publish(state), seconds * 800);
    } catch (e) {
      if (e.code !== 412 || !again) throw e;
      this.#etag = undefined;
      await this.#publish(state, false);
    }
  }

  #listed(body) {
    const root = xml(body).documentElement;
    this.#delta = Number(root.getAttribute('deltaNum')) || 0;
    if (root.localName === 'contactList') { this.contacts.clear(); this.groups.clear(); }
    for (const e of root.children) {
      const aor = (e.getAttribute('uri') ?? '').replace(/^sips?:/, '').toLowerCase();
      if (/^(contact|addedContact|modifiedContact)$/.test(e.localName) && aor) {
        this.contacts.set(aor, { name: e.getAttribute('name') ?? '', groups: e.getAttribute('groups') ?? '1' });
        this.learn(aor);
        this.watch(aor);
      } else if (e.localName === 'deletedContact') this.contacts.delete(aor);
      else if (/^(group|addedGroup|modifiedGroup)$/.test(e.localName)) this.groups.set(e.getAttribute('id'), e.getAttribute('name'));
      else if (e.localName === 'deletedGroup') this.groups.delete(e.getAttribute('id'));
    }
    this.#changed();
  }

  #service(target, body) {
    return this.#agent.request('SERVICE', target, { type: 'application/SOAP+xml', body: `<SOAP-ENV:Envelope xmlns:SOAP-ENV="${SOAP}" xmlns:m="${METHODS}"><SOAP-ENV:Body>${body}</SOAP-ENV:Body></SOAP-ENV:Envelope>` });
  }

  /** Puts somebody on the contact list. */
  add(aor) {
    return this.#service(this.#agent.aor, `<m:setContact><m:displayName/><m:groups>1</m:groups><m:subscribed>true</m:subscribed><m:URI>sip:${escape(aor)}</m:URI><m:externalURI/><m:deltaNum>${this.#delta}</m:deltaNum></m:setContact>`);
  }

  /** Takes somebody off the contact list. */
  remove(aor) {
    return this.#service(this.#agent.aor, `<m:deleteContact><m:URI>sip:${escape(aor)}</m:URI><m:deltaNum>${this.#delta}</m:deltaNum></m:deleteContact>`);
  }

  async #find(attribute, value, most) {
    const r = await this.#service('domain', `<m:directorySearch><m:filter m:href="#searchArray"/><m:maxResults>${most}</m:maxResults></m:directorySearch><m:Array m:id="searchArray"><m:row m:attrib="${attribute}" m:value="${escape(value)}"/></m:Array>`);
    return [...xml(r.body).getElementsByTagNameNS('*', 'row')].map((row) => {
      const get = (name) => row.getAttribute(name) ?? '';
      const p = { aor: get('uri').replace(/^sip:/, '').toLowerCase(), name: get('displayName'), title: get('title'), phone: get('phone') };
      this.names.set(p.aor, p.name);
      return p;
    });
  }

  /** Finds people by the beginning of a name, an address or a number. */
  async search(text) {
    const kinds = ['displayName'];
    if (!/\s/.test(text)) kinds.push('msRTCSIP-PrimaryUserAddress');
    if (/^[+\d][\d\s-]+$/.test(text)) kinds.push('telephoneNumber');
    const found = new Map();
    for (const list of await Promise.all(kinds.map((k) => this.#find(k, k === 'telephoneNumber' ? text.replace(/[\s-]/g, '') : text, 50)))) {
      for (const p of list) found.set(p.aor, p);
    }
    this.#changed();
    return [...found.values()];
  }
}
