// Texts, one catalogue per language. Every text of the client comes through t().

export const languages = { en: 'English', ko: '한국어' };

let texts = {};
let lang = 'en';

const wanted = () => localStorage.getItem('language') ?? navigator.languages.map((l) => l.slice(0, 2)).find((l) => l in languages) ?? 'en';

/** Loads the catalogue of the reader's language. */
export async function loadTexts() {
  lang = wanted() in languages ? wanted() : 'en';
  texts = await (await fetch(`lang/${lang}.json`)).json();
  document.documentElement.lang = lang;
  for (const el of document.querySelectorAll('[data-t]')) el.textContent = t(el.dataset.t);
}

/** The language that is in use. */
export const language = () => lang;

/** Chooses a language for the next start. */
export function setLanguage(l) { localStorage.setItem('language', l); }

/** A text, with {names} replaced. */
export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

/** A time of day, with the date when it was another day. */
export function when(ms) {
  const d = new Date(ms);
  const today = d.toDateString() === new Date().toDateString();
  return d.toLocaleString(lang, today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' });
}

/** A short form of when() for lists. */
export function whenShort(ms) {
  const d = new Date(ms);
  const today = d.toDateString() === new Date().toDateString();
  return d.toLocaleString(lang, today ? { timeStyle: 'short' } : { month: 'short', day: 'numeric' });
}

/** Minutes and seconds. */
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  return (s >= 3600 ? `${Math.floor(s / 3600)}:` : '') + `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}
