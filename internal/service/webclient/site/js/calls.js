// Calls. Media is WebRTC: whoever does not speak that, and has no server in between that does, is told so.

import { aorOf } from './sip.js';
import { camera, capture, play, ring, silence } from './media.js';

const gathering = 1500; // milliseconds after the first candidate that later ones are waited for
const patience = 90_000; // how long a call may be without network until it is given up
const { causes } = globalThis.JsSIP.C;

/** Whether a session description has what a browser needs: keys by DTLS. */
const forBrowsers = (sdp) => /^a=fingerprint:/m.test(sdp ?? '');
const refusesAll = (sdp) => [...sdp.matchAll(/^m=\w+ (\d+)/gm)].every((m) => m[1] === '0');

/** Why a call ended, as the name of a text. */
function reason(e, call) {
  if (call.transferring || call.replaced) return 'call.transferred';
  if (call.mismatch) return 'call.nomedia';
  const code = e.message?.status_code;
  switch (e.cause) {
    case causes.BUSY: return 'call.busy';
    case causes.REJECTED: return call.own ? 'call.rejected' : 'call.declined';
    case causes.UNAVAILABLE: case causes.NO_ANSWER: case causes.EXPIRES: return code === 480 ? 'call.away' : 'call.noanswer';
    case causes.NOT_FOUND: case causes.ADDRESS_INCOMPLETE: return 'call.unknown';
    case causes.INCOMPATIBLE_SDP: case causes.BAD_MEDIA_DESCRIPTION: case causes.MISSING_SDP: return 'call.nomedia';
    case causes.USER_DENIED_MEDIA_ACCESS: return 'call.nodevice';
    case causes.CANCELED:
      if (call.own) return 'call.cancelled';
      return /cause=200/.test(e.message?.getHeader?.('reason') ?? '') ? 'call.elsewhere' : 'call.missed';
    case causes.BYE: return 'call.ended';
    case causes.RTP_TIMEOUT: return 'call.lost';
    case causes.CONNECTION_ERROR: case causes.REQUEST_TIMEOUT: return call.begin ? 'call.lost' : 'call.offline';
    default: return code === 415 || code === 488 ? 'call.nomedia' : call.begin ? 'call.ended' : 'call.failed';
  }
}

/** What JsSIP ends a call for, and a network that comes back heals. */
const curable = new Set([causes.RTP_TIMEOUT, causes.WEBRTC_ERROR, causes.CONNECTION_ERROR, causes.REQUEST_TIMEOUT]);

/** One call. Events: "change"; "refer" and "replaces" with detail, as JsSIP gives them. */
export class Call extends EventTarget {
  session; stream; remote = new MediaStream(); screen; id = crypto.randomUUID();
  state = 'preparing'; // preparing, calling, ringing, incoming, connecting, active, ended
  muted = false; held = false; heldByPeer = false; sharing = false; cameraOn = false; peerVideo = false;
  begin = 0; at = Date.now(); text = ''; mismatch = false;
  lost = 0; // since when no media came through, 0 while it does
  origin = null; // the call that waits while this one asks whether it may be handed over
  transferring = false; replaced = false; given = null; // whom we handed over to the peer
  sound = new Audio();
  #agent; #relay; #timer; #failures = 0;

  constructor(agent, relay, peer, own, video) {
    super();
    this.#agent = agent;
    this.#relay = relay;
    this.peer = peer;
    this.own = own;
    this.video = video;
    this.cameraOn = video;
    this.sound.autoplay = true;
  }

  changed() { this.dispatchEvent(new Event('change')); }

  get over() { return this.state === 'ended'; }

  /** Follows a session of JsSIP. */
  follow(session) {
    this.session = session;
    const terminate = session.terminate.bind(session);
    session.terminate = (o) => { if (!this.#survives(o)) terminate(o); };
    session.on('peerconnection', (e) => this.#media(e.peerconnection));
    if (session.connection) this.#media(session.connection);
    session.on('progress', () => { if (this.own) { this.state = 'ringing'; ring('out'); this.changed(); } });
    session.on('accepted', () => { silence(); this.state = 'connecting'; this.changed(); });
    session.on('confirmed', () => {
      silence();
      this.begin ||= Date.now();
      this.state = 'active';
      this.changed();
    });
    session.on('hold', (e) => { if (e.originator === 'local') this.held = true; else this.heldByPeer = true; this.changed(); });
    session.on('unhold', (e) => { if (e.originator === 'local') this.held = false; else this.heldByPeer = false; this.changed(); });
    session.on('sdp', (e) => {
      if (e.originator !== 'remote' || e.type !== 'answer' || this.begin) return;
      if (forBrowsers(e.sdp) && !refusesAll(e.sdp)) return;
      this.mismatch = true;
      setTimeout(() => this.hangUp());
    });
    let waiting;
    session.on('icecandidate', (e) => { waiting ??= setTimeout(() => { waiting = undefined; e.ready(); }, gathering); });
    for (const type of ['refer', 'replaces']) session.on(type, (detail) => this.dispatchEvent(new CustomEvent(type, { detail })));
    const end = (e) => this.end(reason(e, this));
    session.on('ended', end);
    session.on('failed', end);
  }

  #media(pc) {
    if (this.pc === pc) return;
    this.pc = pc;
    pc.addEventListener('track', (e) => {
      const same = this.remote.getTracks().filter((t) => t.kind === e.track.kind);
      for (const t of same) this.remote.removeTrack(t);
      this.remote.addTrack(e.track);
      const look = () => {
        const shown = this.remote.getVideoTracks().some((t) => !t.muted && t.readyState === 'live');
        if (shown !== this.peerVideo) { this.peerVideo = shown; this.changed(); }
      };
      for (const type of ['mute', 'unmute', 'ended']) e.track.addEventListener(type, look);
      look();
      if (e.track.kind === 'audio') play(this.sound, new MediaStream([e.track]));
      this.changed();
    });
    pc.addEventListener('iceconnectionstatechange', () => {
      if (this.#connected) {
        this.lost = 0;
        clearTimeout(this.#timer);
      } else if (pc.iceConnectionState === 'disconnected' && this.begin) {
        this.lost ||= Date.now();
        this.#later(this.own ? 2000 : 5000); // one side begins, lest both ask at once
      }
      this.changed();
    });
  }

  get #connected() { return /^(connected|completed)$/.test(this.pc?.iceConnectionState); }

  /** Whether the call goes on, although JsSIP wants to end it. */
  #survives(o) {
    if (!this.begin || this.over || !curable.has(o?.cause)) return false;
    if (!this.#connected) this.lost ||= Date.now();
    if (this.lost && Date.now() - this.lost > patience || ++this.#failures > 10) return false;
    this.#later(1000 + 2000 * Math.random());
    this.changed();
    return true;
  }

  /** Looks for a new way for the media later, and again until there is one. */
  #later(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.over) return;
      if (this.lost && Date.now() - this.lost > patience) return void this.session.terminate({ cause: causes.RTP_TIMEOUT });
      if (this.#agent.online) this.restart();
      if (this.lost) this.#later(8000);
    }, delay);
  }

  /** Asks for a new way for the media (ICE restart), after the network went away or changed. */
  async restart() {
    if (!this.begin) return;
    await this.#ready();
    if (this.over) return;
    const config = await this.#relay.config();
    try { this.pc.setConfiguration({ ...this.pc.getConfiguration(), ...config }); } catch { /* the old relays, then */ }
    this.session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => { this.#failures = 0; });
  }

  end(text) {
    if (this.over) return;
    silence();
    clearTimeout(this.#timer);
    this.state = 'ended';
    this.text = text;
    this.finish = Date.now();
    for (const s of [this.stream, this.screen]) s?.getTracks().forEach((t) => t.stop());
    this.sound.srcObject = null;
    this.changed();
  }

  hangUp() {
    if (this.over) return;
    if (!this.session || this.session.isEnded()) return this.end('call.cancelled');
    try {
      this.session.terminate(this.state === 'incoming' ? { status_code: 603 } : {});
    } catch { /* in between two states */ }
    if (!this.over && this.session.isEnded()) this.end('call.ended');
  }

  /** Turns the own voice off, or on again. */
  mute() {
    this.muted = !this.muted;
    this.session[this.muted ? 'mute' : 'unmute']({ audio: true });
    this.changed();
  }

  /** Holds the call, or goes on with it. */
  async hold() {
    await this.#ready();
    this.session[this.held ? 'unhold' : 'hold']();
  }

  /** Waits until the last change of the media has been agreed upon: there can be one at a time. */
  async #ready() {
    for (let i = 0; i < 50 && !this.over && !this.session.isReadyToReOffer(); i++) await new Promise((r) => { setTimeout(r, 100); });
  }

  tone(key) { this.session.sendDTMF(key, { transportType: 'RFC2833', duration: 120, interToneGap: 80 }); }

  /** Hands the peer over to target (RFC 3515), in place of the call instead when that is given (RFC 3891). */
  async refer(target, instead) {
    if (this.transferring) return;
    this.transferring = true;
    this.changed();
    try {
      if (!this.held) await this.hold();
      await this.#ready();
      await new Promise((resolve, reject) => {
        const eventHandlers = { accepted: resolve, failed: reject, requestFailed: reject };
        if (!this.session.refer(target, { eventHandlers, replaces: instead?.session })) reject(new Error('refused'));
        this.addEventListener('change', () => { if (this.over) resolve(); }); // a peer that hangs up before it says how it went
      });
      this.hangUp();
    } catch (e) {
      this.transferring = false;
      if (!this.over && this.held && !instead) await this.hold();
      throw e;
    } finally {
      this.changed();
    }
  }

  /** Where the peer can be reached for certain: a GRUU (RFC 5627), if it has one. */
  get contact() {
    const uri = this.session?._dialog?._remote_target;
    return uri?.hasParam('gr') ? uri.toString() : `sip:${this.peer}`;
  }

  get #video() { return this.pc.getTransceivers().find((x) => !x.stopped && x.receiver.track.kind === 'video'); }

  /** Shows a track instead of what is shown, null for none. */
  async #show(track) {
    const tx = this.#video;
    const sends = tx && /send/.test(tx.direction);
    if (!track && !tx) return;
    if (sends) return void await tx.sender.replaceTrack(track);
    if (tx) {
      await tx.sender.replaceTrack(track);
      tx.direction = 'sendrecv';
    } else {
      this.pc.addTrack(track, this.stream);
    }
    await this.#ready();
    if (!this.session.renegotiate()) throw new Error('busy');
  }

  /** Turns the camera on or off. */
  async toggleCamera() {
    const [old] = this.stream.getVideoTracks();
    if (this.cameraOn) {
      this.cameraOn = false;
      if (!this.sharing) await this.#video?.sender.replaceTrack(null);
      if (old) { old.stop(); this.stream.removeTrack(old); }
    } else {
      const [track] = (await navigator.mediaDevices.getUserMedia({ video: camera() })).getVideoTracks();
      this.stream.addTrack(track);
      this.cameraOn = true;
      if (!this.sharing) await this.#show(track);
    }
    this.changed();
  }

  /** Begins to share the screen, or ends it. */
  async share() {
    if (this.sharing) {
      this.screen.getTracks().forEach((t) => t.stop());
      this.sharing = false;
      await this.#show(this.stream.getVideoTracks()[0] ?? null);
    } else {
      this.screen = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 15 } });
      const [track] = this.screen.getVideoTracks();
      track.addEventListener('ended', () => this.sharing && this.share());
      await this.#show(track);
      this.sharing = true;
    }
    this.changed();
  }

  /** Answers a call that comes in. */
  async answer(video) {
    this.state = 'connecting';
    silence();
    this.changed();
    let pcConfig;
    try {
      [this.stream, pcConfig] = await Promise.all([capture(video), this.#relay.config()]);
    } catch {
      this.session.terminate({ status_code: 480 });
      this.end('call.nodevice');
      return;
    }
    if (this.over) return void this.stream.getTracks().forEach((t) => t.stop()); // the caller gave up meanwhile
    this.cameraOn = this.stream.getVideoTracks().length > 0;
    this.session.answer({ mediaStream: this.stream, pcConfig });
    this.changed();
  }
}

/**
 * The calls of a user: one on the screen, and perhaps one that waits. Events: "change"; "incoming" and "unable" with the
 * call as detail, "back" with the call that ended, "referred" with the call that was made at the wish of another.
 */
export class Calls extends EventTarget {
  #agent; #people; #history; #relay; #live = []; #replacing = new WeakMap(); #seen = 0;
  current = null;
  past = [];

  constructor(agent, people, history, relay) {
    super();
    this.#agent = agent;
    this.#people = people;
    this.#history = history;
    this.#relay = relay;
    agent.addEventListener('call', (e) => this.#arrived(e.detail));
    // Both ends may have been away, or signed in at the same time: one asks first.
    const restart = () => { for (const c of this.#live) setTimeout(() => c.restart(), c.own ? 0 : 3000); };
    agent.addEventListener('online', (e) => { if (!e.detail.first) restart(); });
    relay.addEventListener('renewed', restart);
  }

  async load() {
    this.past = await this.#history.all('calls');
    this.#seen = (await this.#history.marks()).get('calls') ?? 0;
    for (const c of this.past) this.#people.learn(c.peer);
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event('change')); }

  /** The call that waits while another is on the screen. */
  get waiting() { return this.#live.find((c) => c !== this.current) ?? null; }

  /** How many calls were missed since somebody looked. */
  get missed() { return this.past.filter((c) => missed(c) && c.at > this.#seen).length; }

  /** Remembers that the list of calls was looked at. */
  look() {
    if (!this.missed) return;
    this.#seen = Date.now();
    this.#history.mark('calls', this.#seen).catch(() => {});
    this.#changed();
  }

  #keep(call) {
    const entry = { id: call.id, peer: call.peer, own: call.own, video: call.video, at: call.at, text: call.text, lasted: call.begin ? call.finish - call.begin : 0 };
    this.past.push(entry);
    this.#history.keep('calls', entry).catch(() => {});
  }

  #take(call) {
    this.#live.push(call);
    this.current = call;
    call.addEventListener('change', () => {
      if (call.over && !call.kept) {
        call.kept = true;
        this.#keep(call);
        this.#gone(call);
      }
      this.#changed();
    });
    call.addEventListener('refer', (e) => this.#referred(call, e.detail));
    call.addEventListener('replaces', (e) => e.detail.accept((session) => this.#replacing.set(session, call)));
    this.#changed();
  }

  // A call that is over stays on the screen until it is dismissed, unless another goes on.
  #gone(call) {
    this.#live = this.#live.filter((c) => c !== call);
    for (const c of this.#live) if (c.origin === call) c.origin = null;
    const [other] = this.#live;
    if (this.current !== call || !other) return;
    this.current = other;
    if (other.transferring) return;
    if (other.held) other.hold();
    this.dispatchEvent(new CustomEvent('back', { detail: call }));
  }

  /** Takes the ended call off the screen. */
  dismiss() {
    if (this.current?.over) this.current = null;
    this.#changed();
  }

  /** Calls somebody. */
  call(peer, video) { return this.#live.length ? undefined : this.#place(peer, video); }

  async #place(peer, video, origin = null) {
    const call = this.#new(peer, true, video);
    call.origin = origin;
    this.#take(call);
    let pcConfig;
    try {
      [call.stream, pcConfig] = await Promise.all([capture(video), this.#relay.config()]);
    } catch {
      return call.end('call.nodevice');
    }
    if (call.over) return void call.stream.getTracks().forEach((t) => t.stop()); // given up meanwhile
    call.cameraOn = call.stream.getVideoTracks().length > 0;
    call.state = 'calling';
    call.changed();
    try {
      call.follow(this.#agent.call(peer, { mediaStream: call.stream, pcConfig, rtcOfferConstraints: { offerToReceiveAudio: true, offerToReceiveVideo: video } }));
    } catch {
      call.end('call.failed');
    }
  }

  #new(peer, own, video) { return new Call(this.#agent, this.#relay, peer, own, video); }

  /** Hands the peer of the current call over to somebody who is not asked. */
  transfer(peer) { return this.current.refer(this.#agent.target(peer)); }

  /** Holds the current call, and calls somebody to ask whether to hand it over. */
  async consult(peer) {
    const origin = this.current;
    if (!origin.held) await origin.hold();
    await this.#place(peer, false, origin);
  }

  /** Brings the two together who wait for each other, and leaves. */
  async complete() {
    const { current } = this;
    const { origin } = current;
    if (!origin) return;
    Object.assign(current, { transferring: true, given: origin.peer });
    try {
      await origin.refer(current.contact, current);
      current.hangUp(); // the other side has done so, if it knows what to do
    } catch (e) {
      Object.assign(current, { transferring: false, given: null });
      throw e;
    } finally {
      current.changed();
    }
  }

  /** Goes on with the call that waits, and holds the other. */
  async swap() {
    const next = this.waiting;
    if (!next) return;
    if (!this.current.held) await this.current.hold();
    this.current = next;
    if (next.held) await next.hold();
    this.#changed();
  }

  // The peer of a call hands us over to somebody else (RFC 3515).
  async #referred(from, { request, accept, reject }) {
    const { uri } = request.refer_to;
    if (this.#live.length > 1) return reject();
    const peer = aorOf(uri);
    this.#people.learn(peer);
    const call = this.#new(peer, true, from.cameraOn);
    let pcConfig;
    try {
      [call.stream, pcConfig] = await Promise.all([capture(from.cameraOn), this.#relay.config()]);
    } catch {
      return reject();
    }
    call.cameraOn = call.stream.getVideoTracks().length > 0;
    call.state = 'calling';
    this.#take(call);
    this.dispatchEvent(new CustomEvent('referred', { detail: { from: from.peer, call } }));
    const options = { mediaStream: call.stream, pcConfig, rtcOfferConstraints: { offerToReceiveAudio: true, offerToReceiveVideo: from.video } };
    accept((session) => call.follow(session), options);
    if (!call.session) call.end('call.cancelled'); // who referred us has hung up
    return undefined;
  }

  #arrived({ session, request }) {
    const peer = aorOf(session.remote_identity.uri);
    this.#people.learn(peer, session.remote_identity.display_name);
    this.#people.watch(peer);
    const call = this.#new(peer, false, /^m=video [1-9]/m.test(request.body ?? ''));
    if (request.body && !forBrowsers(request.body)) {
      // Other devices of the user ring on; this one says why it does not.
      session.terminate({ status_code: 488 });
      call.finish = call.at;
      call.text = 'call.nomediain';
      this.#keep(call);
      this.dispatchEvent(new CustomEvent('unable', { detail: call }));
      return this.#changed();
    }
    const instead = this.#replacing.get(session);
    if (!instead && this.#live.length) return void session.terminate({ status_code: 486 });
    call.state = 'incoming';
    call.follow(session);
    this.#take(call);
    if (instead) { // somebody else comes into a call that goes on (RFC 3891)
      instead.replaced = true;
      return void call.answer(instead.cameraOn);
    }
    ring('in');
    this.dispatchEvent(new CustomEvent('incoming', { detail: call }));
    return undefined;
  }
}

/** Whether a call of the past came in and nobody answered. */
export const missed = (c) => !c.own && !c.lasted && !/rejected|declined|elsewhere|transferred/.test(c.text);
