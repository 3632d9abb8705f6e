// Microphones, cameras, loudspeakers, and the tones of a telephone.

const chosen = (kind) => localStorage.getItem(`device:${kind}`) ?? '';

/** Chooses a device for calls to come, "" for the system's choice. */
export function choose(kind, id) { localStorage.setItem(`device:${kind}`, id); }

/** The devices there are, by kind, and which of them is chosen. Names are empty before the first use. */
export async function devices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return Object.fromEntries(['audioinput', 'videoinput', 'audiooutput'].map((kind) => [kind, {
    chosen: chosen(kind), list: all.filter((d) => d.kind === kind && d.deviceId && d.deviceId !== 'default'),
  }]));
}

const pick = (kind) => (chosen(kind) ? { deviceId: { ideal: chosen(kind) } } : {});

/** Takes the microphone, and the camera if there is one. */
export async function capture(video) {
  const audio = microphone();
  if (!video) return navigator.mediaDevices.getUserMedia({ audio });
  try {
    return await navigator.mediaDevices.getUserMedia({ audio, video: camera() });
  } catch (e) {
    if (e.name !== 'NotFoundError' && e.name !== 'NotReadableError') throw e;
    return navigator.mediaDevices.getUserMedia({ audio }); // without a camera one can still talk
  }
}

export const microphone = () => ({ ...pick('audioinput'), echoCancellation: true, noiseSuppression: true, autoGainControl: true });
export const camera = () => ({ ...pick('videoinput'), width: { ideal: 1280 }, height: { ideal: 720 } });

/** Leads sound to the chosen loudspeaker, where the browser can. */
export function play(el, stream) {
  el.srcObject = stream;
  const out = chosen('audiooutput');
  if (out && el.setSinkId) el.setSinkId(out).catch(() => {});
  el.play?.().catch(() => {});
}

/** Says how loud a stream is, from 0 to 1, ten times a second until it is stopped by what is returned. */
export function listen(stream, say) {
  context ??= new AudioContext();
  context.resume().catch(() => {});
  const source = context.createMediaStreamSource(stream);
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const every = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    say(Math.min(1, 4 * Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length)));
  }, 100);
  return () => { clearInterval(every); source.disconnect(); };
}

/** Plays a tone on the chosen loudspeaker. */
export async function chime() {
  context ??= new AudioContext();
  await context.setSinkId?.(chosen('audiooutput')).catch(() => {});
  await context.resume().catch(() => {});
  beep([660, 880], 0.6, 0.1);
}

let context; let timer; let tones = [];

function beep(freqs, seconds, gain) {
  context ??= new AudioContext();
  const g = new GainNode(context, { gain });
  g.connect(context.destination);
  tones = freqs.map((frequency) => {
    const o = new OscillatorNode(context, { frequency });
    o.connect(g);
    o.start();
    o.stop(context.currentTime + seconds);
    return o;
  });
}

/** Begins to ring, "in" for a call that comes in or "out" for one that rings elsewhere. */
export function ring(which) {
  silence();
  context?.resume().catch(() => {});
  if (which === 'in') navigator.vibrate?.([500, 500, 500, 500, 500]);
  const once = () => (which === 'in' ? beep([660, 880], 0.8, 0.08) : beep([440, 480], 1.2, 0.04));
  once();
  timer = setInterval(once, which === 'in' ? 2500 : 4000);
}

/** Stops ringing. */
export function silence() {
  clearInterval(timer);
  navigator.vibrate?.(0);
  for (const o of tones) try { o.stop(); } catch { /* it has stopped */ }
  tones = [];
}
