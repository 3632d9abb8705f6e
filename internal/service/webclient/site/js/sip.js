// The SIP user agent: JsSIP, with promises and with the methods it does not know by itself.

const { UA, URI, WebSocketInterface, version } = globalThis.JsSIP;

/** A response that is no success, or none at all (code 0). */
export class SipError extends Error {
  constructor(code, cause) { super(`${code} ${cause}`); this.code = code; this.cause = cause; }
}

/** "alice@example.test" of a URI, in lower case. */
export const aorOf = (uri) => `${uri.user}@${uri.host}`.toLowerCase();

/** The telephone number that an address is, or undefined when it is that of a person. */
export const numberOf = (aor) => aor.match(/^(\+?[\d*]+)@/)?.[1];

const proof = 30_000; // how often the server has to show that it is there
const silent = 8000; // how long its answer may take

/**
 * A user who is signed in. Events: "online" and "offline" with every change of the connection, "message" and "call" with
 * detail, as JsSIP gives them.
 */
export class Agent extends EventTarget {
  #ua; #aor; #started; #method; #prepare; #watch; #subscriptions = new Set(); #online = false; #proving = false; #stop = new AbortController();

  constructor({ aor, password, ha1, realm, socket }) {
    super();
    this.#aor = aor;
    const ws = new WebSocketInterface(socket);
    this.#ua = new UA({
      sockets: [ws], uri: `sip:${aor}`, register_expires: 600, session_timers: false, user_agent: `JsSIP ${version} Parley`,
      connection_recovery_min_interval: 2, connection_recovery_max_interval: 30, ...(ha1 ? { ha1, realm } : { password }),
    });
    this.#ua.on('newMessage', (e) => {
      if (e.originator === 'remote') this.#emit('message', e);
      else if (this.#method) {
        this.#prepare?.(e.request);
        rename(e.request, this.#method);
      }
    });
    this.#ua.on('newRTCSession', (e) => { if (e.originator === 'remote') this.#emit('call', e); });
  }

  get aor() { return this.#aor; }
  get domain() { return this.#aor.split('@')[1]; }
  get online() { return this.#online; }

  /** What signs in again without the password: good for this realm alone. */
  get credentials() { return { aor: this.#aor, ha1: this.#ua.get('ha1'), realm: this.#ua.get('realm') }; }

  #emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  /** Signs in. Rejects with a SipError: 401 for a wrong password, 0 when the server cannot be reached. */
  signIn() {
    return new Promise((resolve, reject) => {
      const fail = (code, cause) => {
        if (this.#started) return;
        clearInterval(this.#watch);
        this.#stop.abort();
        this.#ua.stop();
        reject(new SipError(code, cause));
      };
      this.#ua.on('registered', () => {
        const first = !this.#started;
        this.#started = true;
        if (!this.#online) {
          this.#online = true;
          this.#emit('online', { first });
          for (const s of this.#subscriptions) s.begin();
        }
        resolve();
      });
      this.#ua.on('registrationFailed', (e) => { this.#lost(); fail(e.response?.status_code ?? 0, e.cause); });
      this.#ua.on('disconnected', (e) => { this.#lost(); if (e.error) fail(0, 'Connection Error'); });
      this.#ua.start();
      // Sockets do not always notice that the network is gone.
      this.#watch = setInterval(() => this.#prove(), proof);
      for (const type of ['online', 'offline']) addEventListener(type, () => this.#prove(), { signal: this.#stop.signal });
      document.addEventListener('visibilitychange', () => { if (!document.hidden) this.#prove(); }, { signal: this.#stop.signal });
    });
  }

  /** Makes sure that the server is there, and connects anew when it is not. */
  async #prove() {
    if (!this.#started || this.#proving) return;
    this.#proving = true;
    try {
      if (this.#online) {
        const answer = this.request('OPTIONS', 'domain').catch((e) => { if (!e.code) throw e; });
        await Promise.race([answer, new Promise((_, reject) => { setTimeout(reject, silent); })]);
      } else if (navigator.onLine) this.#again();
    } catch {
      this.#again();
    }
    this.#proving = false;
  }

  #again() {
    const { transport } = this.#ua;
    if (!transport || this.#stop.signal.aborted) return;
    transport.disconnect();
    transport.connect();
  }

  #lost() {
    if (!this.#online) return;
    this.#online = false;
    this.#emit('offline');
  }

  signOut() {
    clearInterval(this.#watch);
    this.#stop.abort();
    for (const s of [...this.#subscriptions]) s.end();
    this.#ua.stop();
  }

  setName(name) { this.#ua.set('display_name', name); }

  /** Sends a request and returns its successful response. prepare may change the request before it goes. */
  request(method, target, { body = '', type = 'text/plain', headers = [], prepare } = {}) {
    return new Promise((resolve, reject) => {
      // The agent makes MESSAGE by itself and shows it before it is sent; every other method is made of one.
      this.#method = method === 'MESSAGE' ? undefined : method;
      this.#prepare = prepare;
      try {
        this.#ua.sendMessage(target === 'domain' ? new URI('sip', null, this.domain) : `sip:${target}`, body, {
          contentType: type, extraHeaders: headers,
          eventHandlers: {
            succeeded: (e) => resolve(e.response),
            failed: (e) => reject(new SipError(e.response?.status_code ?? 0, e.cause)),
          },
        });
      } catch (e) {
        reject(new SipError(0, e.message));
      } finally {
        this.#method = undefined;
      }
    });
  }

  /** Subscribes for as long as the user is signed in, over all reconnections, or until end() of what is returned. */
  subscribe(target, event, accept, notify) {
    const s = new Subscription(this.#ua, this, target, event, accept, notify);
    const end = s.end.bind(s);
    s.end = () => { this.#subscriptions.delete(s); end(); };
    this.#subscriptions.add(s);
    if (this.#online) s.begin();
    return s;
  }

  /** The URI by which somebody, or a telephone number, is called. */
  target(peer) { return `sip:${peer}${numberOf(peer) ? ';user=phone' : ''}`; }

  call(peer, options) { return this.#ua.call(this.target(peer), options); }
}

/** Makes a request one of another method, also when it is repeated with credentials. */
function rename(request, method) {
  const { clone, setHeader } = request;
  const old = request.method;
  request.method = method;
  request.setHeader = function (name, value) {
    return setHeader.call(this, name, name === 'cseq' ? value.replace(old, method) : value);
  };
  request.setHeader('cseq', `${request.cseq} ${old}`);
  request.clone = function () {
    const c = clone.call(this);
    c.method = old;
    rename(c, method);
    return c;
  };
}

/** A subscription (RFC 6665), which the agent does not know by itself: its dialog is given to the agent as one of its own. */
class Subscription {
  #ua; #agent; #target; #headers; #notify; #timer; #dialog; #ended = false;

  constructor(ua, agent, target, event, accept, notify) {
    this.#ua = ua;
    this.#agent = agent;
    this.#target = target;
    this.#headers = [`Event: ${event}`, `Accept: ${accept}`];
    this.#notify = notify;
  }

  /** Subscribes anew. */
  async begin() {
    this.#forget();
    if (!this.#ended && this.#agent.online) await this.#subscribe(3600);
  }

  #forget() {
    clearTimeout(this.#timer);
    if (this.#dialog) this.#ua.destroyDialog(this.#dialog);
    this.#dialog = undefined;
  }

  #later(seconds, what) {
    clearTimeout(this.#timer);
    if (!this.#ended) this.#timer = setTimeout(what, seconds * 1000);
  }

  async #subscribe(expires) {
    const dialog = this.#dialog;
    let sent;
    try {
      const response = await this.#agent.request('SUBSCRIBE', this.#target, {
        headers: [...this.#headers, `Expires: ${expires}`, `Contact: ${this.#ua.contact}`],
        prepare: (request) => { sent = request; dialog?.within(request); },
      });
      if (!expires) return;
      if (!dialog) this.#dialog = this.#open(sent, response);
      const granted = parseInt(response.getHeader('Expires') ?? '600', 10);
      this.#later(Math.max(30, granted * 0.8), () => this.#subscribe(3600));
    } catch (e) {
      this.#forget();
      if (e.code === 481) this.begin();
      else this.#later(60, () => this.begin()); // refused for good, or only now: asking again costs little
    }
  }

  #open(sent, response) {
    const tag = sent.from.getParam('tag');
    let cseq = parseInt(response.getHeader('cseq'), 10);
    const dialog = {
      id: response.call_id + tag + response.to_tag,
      within(request) {
        cseq++;
        Object.assign(request, { cseq, call_id: response.call_id, ruri: response.parseHeader('contact').uri });
        request.setHeader('call-id', response.call_id);
        request.setHeader('from', response.getHeader('from'));
        request.setHeader('to', response.getHeader('to'));
        request.setHeader('cseq', `${cseq} MESSAGE`);
        const routes = response.getHeaders('record-route').reverse();
        if (routes.length) request.setHeader('route', routes);
      },
      receiveRequest: (request) => {
        if (request.method !== 'NOTIFY') return void request.reply(405);
        request.reply(200);
        if (request.body) this.#notify(request.body);
        if (/^\s*terminated/i.test(request.getHeader('subscription-state') ?? '')) {
          this.#forget();
          this.#later(5, () => this.begin());
        }
        return undefined;
      },
    };
    this.#ua.newDialog(dialog);
    return dialog;
  }

  /** Ends it, and tells the server when it can. */
  end() {
    if (this.#dialog && this.#agent.online) this.#subscribe(0);
    this.#ended = true;
    this.#forget();
  }
}
