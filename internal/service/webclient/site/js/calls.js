// Calls. Media goes from end to end and is WebRTC: whoever does not speak that cannot be reached yet, and the user is told.

import { aorOf } from './sip.js';
import { camera, capture, play, ring, silence } from './media.js';

const pcConfig = { iceServers: [] };
const gathering = 1500; // milliseconds after the first candidate that later ones are waited for

/** Whether a session description has what a browser needs: keys by DTLS. */
const forBrowsers = (sdp) => /^a=fingerprint:/m.test(sdp ?? '');
const refusesAll = (sdp) => [...sdp.matchAll(/^m=\w+ (\d+)/gm)].every((m) => m[1] === '0');

/** Why a call ended, as the name of a text. */
function reason(e, call) {
  if (call.mismatch) return 'call.nomedia';
  const code = e.message?.status_code;
  switch (e.cause) {
    case 'Busy': return 'call.busy';
    case 'Rejected': return 'call.rejected';
    case 'Unavailable': case 'No Answer': case 'Expires': return code === 480 ? 'call.away' : 'call.noanswer';
    case 'Not Found': case 'Address Incomplete': return 'call.unknown';
    case 'Incompatible SDP': case 'Bad Media Description': case 'Missing SDP': return 'call.nomedia';
    case 'User Denied Media Access': return 'call.nodevice';
    case 'Canceled': return call.own ? 'call.cancelled' : 'call.missed';
    case 'Terminated': return 'call.ended';
    case 'Connection Error': case 'Request Timeout': return 'call.offline';
    default: return code === 415 || code === 488 ? 'call.nomedia' : 'call.failed';
  }
}

/** One call. Event: "change". */
class Call extends EventTarget {
  session; stream; remote = new MediaStream(); screen; id = crypto.randomUUID();
  state = 'preparing'; // preparing, calling, ringing, incoming, connecting, active, ended
  muted = false; held = false; heldByPeer = false; sharing = false; cameraOn = false; peerVideo = false;
  begin = 0; at = Date.now(); text = ''; mismatch = false;
  sound = new Audio();

  constructor(peer, own, video) {
    super();
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
    session.on('icecandidate', (e) => { waiting ??= setTimeout(e.ready, gathering); });
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
  }

  end(text) {
    if (this.over) return;
    silence();
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
    } catch {
      this.end('call.ended');
    }
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

  #sender() {
    return this.pc.getTransceivers().find((x) => !x.stopped && x.receiver.track.kind === 'video')?.sender;
  }

  /** Shows a track instead of what is shown, null for none. */
  async #show(track) {
    const tx = this.pc.getTransceivers().find((x) => !x.stopped && x.receiver.track.kind === 'video');
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
      if (!this.sharing) await this.#sender()?.replaceTrack(null);
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
    try {
      this.stream = await capture(video);
    } catch {
      this.session.terminate({ status_code: 480 });
      this.end('call.nodevice');
      return;
    }
    this.cameraOn = this.stream.getVideoTracks().length > 0;
    this.state = 'connecting';
    silence();
    this.session.answer({ mediaStream: this.stream, pcConfig });
    this.changed();
  }
}

/** The calls of a user. Events: "change", and "incoming" with the call as detail. */
export class Calls extends EventTarget {
  #agent; #people; #history;
  current = null;
  past = [];

  constructor(agent, people, history) {
    super();
    this.#agent = agent;
    this.#people = people;
    this.#history = history;
    agent.addEventListener('call', (e) => this.#arrived(e.detail));
  }

  async load() {
    this.past = await this.#history.all('calls');
    for (const c of this.past) this.#people.learn(c.peer);
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event('change')); }

  #keep(call) {
    const entry = { id: call.id, peer: call.peer, own: call.own, video: call.video, at: call.at, text: call.text, lasted: call.begin ? call.finish - call.begin : 0 };
    this.past.push(entry);
    this.#history.keep('calls', entry).catch(() => {});
  }

  #take(call) {
    this.current = call;
    call.addEventListener('change', () => {
      if (call.over && !call.kept) {
        call.kept = true;
        this.#keep(call);
      }
      this.#changed();
    });
    this.#changed();
  }

  /** Takes the ended call off the screen. */
  dismiss() {
    if (this.current?.over) this.current = null;
    this.#changed();
  }

  /** Calls somebody. */
  async call(peer, video) {
    if (this.current && !this.current.over) return;
    const call = new Call(peer, true, video);
    this.#take(call);
    try {
      call.stream = await capture(video);
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

  #arrived({ session, request }) {
    const peer = aorOf(session.remote_identity.uri);
    this.#people.learn(peer, session.remote_identity.display_name);
    this.#people.watch(peer);
    const call = new Call(peer, false, /^m=video [1-9]/m.test(request.body ?? ''));
    if (!forBrowsers(request.body)) {
      // Other devices of the user ring on; this one says why it does not.
      session.terminate({ status_code: 488 });
      call.finish = call.at;
      call.text = 'call.nomediain';
      this.#keep(call);
      this.dispatchEvent(new CustomEvent('unable', { detail: call }));
      return this.#changed();
    }
    if (this.current && !this.current.over) return void session.terminate({ status_code: 486 });
    call.state = 'incoming';
    call.follow(session);
    this.#take(call);
    ring('in');
    this.dispatchEvent(new CustomEvent('incoming', { detail: call }));
  }
}
