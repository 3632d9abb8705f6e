// The relays that help media through firewalls, and the credentials for them ([MS-AVEDGEA]), which the server hands out.

const TYPE = 'application/msrtc-media-relay-auth+xml';
const NAMESPACE = 'http://schemas.microsoft.com/2006/09/sip/mrasp';
const minutes = 480; // that are asked for
const wait = 3000; // milliseconds that a call waits for an answer, until it goes on without

/** Whether media may go by relays only: "?relay=only" in the address of the page, to find out whether they work. */
const only = new URLSearchParams(location.search).get('relay') === 'only';

const escape = (s) => s.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);

function question(aor) {
  const uri = escape(`sip:${aor}`);
  return `<request requestID="1" to="${uri}" from="${uri}" version="1.0" xmlns="${NAMESPACE}"><credentialsRequest credentialsRequestID="1">`
    + `<identity>${uri}</identity><location>internet</location><duration>${minutes}</duration></credentialsRequest></request>`;
}

/** Reads an answer: ICE servers, and for how many minutes they are good. */
export function readRelays(text) {
  const doc = new DOMParser().parseFromString(text, 'application/xml');
  const get = (from, name) => from.getElementsByTagNameNS('*', name)[0]?.textContent.trim() ?? '';
  const urls = [...doc.getElementsByTagNameNS('*', 'mediaRelay')].flatMap((relay) => {
    const name = get(relay, 'hostName');
    const host = name.includes(':') ? `[${name}]` : name;
    const port = { udp: Number(get(relay, 'udpPort')), tcp: Number(get(relay, 'tcpPort')) };
    if (!host) return [];
    return [port.udp && `turn:${host}:${port.udp}?transport=udp`, port.tcp && `turn:${host}:${port.tcp}?transport=tcp`, port.tcp && `turns:${host}:${port.tcp}?transport=tcp`].filter(Boolean);
  });
  const [username, credential] = [get(doc, 'username'), get(doc, 'password')];
  return { servers: urls.length && username ? [{ urls, username, credential }] : [], duration: Number(get(doc, 'duration')) || minutes };
}

/** The relays of a user who is signed in. Event: "renewed", when calls that go on need the new credentials. */
export class Relay extends EventTarget {
  #agent; #servers = []; #good = 0; #asking; #timer;

  constructor(agent) {
    super();
    this.#agent = agent;
    agent.addEventListener('online', () => this.#ask());
    if (agent.online) this.#ask();
  }

  /** What peer connections are made with. It does not fail: without relays most calls work all the same. */
  async config() {
    if (Date.now() > this.#good) await Promise.race([this.#ask(), new Promise((r) => { setTimeout(r, wait); })]);
    return { iceServers: this.#servers, iceTransportPolicy: only ? 'relay' : 'all' };
  }

  close() { clearTimeout(this.#timer); }

  #ask() {
    this.#asking ??= this.#renew().finally(() => { this.#asking = undefined; });
    return this.#asking;
  }

  async #renew() {
    clearTimeout(this.#timer);
    let next = 10; // minutes until another attempt, when there is no relay or no answer
    try {
      const { body } = await this.#agent.request('SERVICE', this.#agent.aor, { type: TYPE, body: question(this.#agent.aor) });
      const { servers, duration } = readRelays(body);
      this.#servers = servers;
      next = duration * 0.8;
    } catch (e) {
      if (e.code === 501 || e.code === 405 || e.code === 404) this.#servers = [];
    }
    this.#good = Date.now() + next * 60_000;
    this.#timer = setTimeout(async () => {
      if (!this.#agent.online) return;
      await this.#ask();
      if (this.#servers.length) this.dispatchEvent(new Event('renewed'));
    }, next * 60_000);
  }
}
