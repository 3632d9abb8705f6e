// Small helpers to build pages. Nothing here takes markup: what people write stays text.

/** Makes an element. Properties that begin with "on" are listeners, "class", "data-..." and "aria-..." are attributes. */
export function h(tag, props, ...kids) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name in el && !/^(list|role|form|class|spellcheck)$/.test(name) && !name.includes('-')) el[name] = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  el.append(...kids.flat(Infinity).filter((k) => k !== undefined && k !== null && k !== false));
  return el;
}

const SVG = 'http://www.w3.org/2000/svg';

// Paths on a grid of 24, drawn with a stroke.
const icons = {
  chat: 'M4 5h16v11H9l-5 4z',
  people: 'M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21c0-4 3-6 7-6s7 2 7 6M16 4a4 4 0 0 1 0 7M18 15c3 .5 4 3 4 6',
  phone: 'M5 3h4l2 5-2.500 2a12 12 0 0 0 5.500 5.500L16 13l5 2v4c0 1-1 2-2 2C10 21 3 14 3 5c0-1 1-2 2-2z',
  hangup: 'M2 14c5-6 15-6 20 0l-2.500 3-4-1.500V12.500a12 12 0 0 0-7 0v3l-4 1.500z',
  video: 'M3 6h12v12H3zM15 11l6-4v10l-6-4z',
  videooff: 'M3 6h12v12H3zM15 11l6-4v10l-6-4zM2 2l20 20',
  mic: 'M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5 11a7 7 0 0 0 14 0M12 18v3',
  micoff: 'M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5 11a7 7 0 0 0 14 0M12 18v3M3 3l18 18',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 4l12 8-12 8z',
  keypad: 'M5 5h.01M12 5h.01M19 5h.01M5 12h.01M12 12h.01M19 12h.01M5 19h.01M12 19h.01M19 19h.01',
  screen: 'M3 4h18v12H3zM8 21h8M12 16v5',
  send: 'M3 20l18-8L3 4v6l11 2-11 2z',
  back: 'M15 5l-7 7 7 7',
  gear: 'M4 7h9M17 7h3M15 4.500v5M4 17h3M11 17h9M9 14.500v5',
  search: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L21 21',
  add: 'M12 5v14M5 12h14',
  remove: 'M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  retry: 'M20 11a8 8 0 1 0-2 6M20 5v6h-6',
  transfer: 'M3 12a9 9 0 0 1 9-9M13 16h8M17 12l4 4-4 4M3 12v8h6v-8z',
  swap: 'M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4',
  redial: 'M5 3h4l2 5-2.500 2a12 12 0 0 0 5.500 5.500L16 13l5 2v4c0 1-1 2-2 2C10 21 3 14 3 5c0-1 1-2 2-2zM20 3v5h-5M20 8a6 6 0 0 0-6-5',
  missed: 'M5 5l7 7 7-7M5 5v5M5 5h5M2 19c5-5 15-5 20 0',
  in: 'M18 6L7 17M7 9v8h8',
  out: 'M6 18L17 7M9 7h8v8',
};

/** Draws an icon, which screen readers do not see. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [k, v] of Object.entries({ viewBox: '0 0 24 24', class: `icon icon-${name}`, 'aria-hidden': 'true', focusable: 'false' })) svg.setAttribute(k, v);
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', icons[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and is called by its label. */
export function iconButton(name, label, onclick, props = {}) {
  return h('button', { type: 'button', class: 'icon-button', title: label, 'aria-label': label, onclick, ...props }, icon(name));
}

/** Replaces what is in an element; whatever had the focus there and has a data-key keeps it. */
export function fill(el, ...kids) {
  const key = el.contains(document.activeElement) && document.activeElement.dataset.key;
  el.replaceChildren(...kids.flat(Infinity).filter(Boolean));
  if (key) el.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** Says something to screen readers without moving the focus. */
export function announce(text) {
  const el = document.getElementById('announcer');
  el.textContent = '';
  requestAnimationFrame(() => { el.textContent = text; });
}

/** Shows a sentence for a while, and says it. */
export function toast(text) {
  const el = h('div', { class: 'toast' }, text);
  document.getElementById('toasts').append(el);
  announce(text);
  setTimeout(() => el.remove(), 6000);
}

/** Two letters and a colour by which somebody is recognised. */
export function avatar(name, presence) {
  const words = name.replace(/@.*/, '').split(/[\s._-]+/).filter(Boolean);
  const letters = ([...(words[0] ?? '?')][0] + (words.length > 1 ? [...words.at(-1)][0] : '')).toUpperCase();
  let sum = 2166136261;
  for (const c of name) sum = Math.imul(sum ^ c.codePointAt(0), 16777619) >>> 0;
  return h('span', { class: `avatar tint-${(sum >>> 8) % 6}`, 'aria-hidden': 'true' }, letters, presence && h('span', { class: `badge ${presence}` }));
}
