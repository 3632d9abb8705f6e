// What pages are made of: tables, facts, fields, errors, and what is kept of what somebody types.

import { h, announce } from './dom.js';
import { t, language } from './i18n.js';

/** A table that becomes a list of cards on a phone. Columns: {label, cell(row), class}. */
export function table({ caption, columns, rows, empty }) {
  if (!rows.length) return h('p', { class: 'empty' }, empty ?? t('list.empty'));
  // Roles are spelled out because "display" takes them away from table elements.
  const el = h('div', { class: 'table' }, h('table', { role: 'table' },
    h('caption', { class: 'unseen' }, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map((c) => h('th', { role: 'columnheader', scope: 'col', class: c.class }, c.label)))),
    h('tbody', { role: 'rowgroup' }, rows.map((r) => h('tr', { role: 'row' }, columns.map((c) => h('td', { role: 'cell', class: c.class, 'data-label': c.label }, h('div', {}, c.cell(r)))))))));
  // What scrolls must be reached by keyboard; what does not is no stop on the way.
  new ResizeObserver(() => { if (el.scrollWidth > el.clientWidth) el.tabIndex = 0; else el.removeAttribute('tabindex'); }).observe(el);
  return el;
}

/** Names and values. */
export const facts = (list) => h('dl', { class: 'facts' }, list.filter(Boolean).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));

/** A word with a colour and a form: good, soon, bad or plain. */
export const badge = (kind, text) => h('span', { class: `badge ${kind}` }, text);

/** A part of a page with its heading. */
export const section = (title, ...kids) => h('section', { class: 'panel' }, h('h2', {}, title), kids);

/** The server's own sentence, where a screen reader says it. */
export function errorBox() {
  const box = h('div', { class: 'error-box', role: 'alert', hidden: true });
  return {
    el: box,
    show(e, ...more) { box.replaceChildren(h('p', {}, sentence(e)), ...more); box.hidden = false; box.scrollIntoView({ block: 'nearest' }); },
    clear() { box.hidden = true; box.replaceChildren(); },
  };
}

/** What went wrong, in the words of the server when it said something. */
export const sentence = (e) => (e.status ? e.message : e instanceof TypeError ? t('error.unreachable') : e.message);

let ids = 0;

/** A label with its control, and a hint. */
export function field(label, input, hint) {
  input.id ||= `f${++ids}`;
  if (hint) input.setAttribute('aria-describedby', `${input.id}-hint`);
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, hint && h('p', { class: 'hint', id: `${input.id}-hint` }, hint));
}

/** A box to tick with its label. */
export function check(label, input, hint) {
  input.type = 'checkbox';
  input.id ||= `f${++ids}`;
  if (hint) input.setAttribute('aria-describedby', `${input.id}-hint`);
  return h('div', { class: 'check' }, input, h('label', { for: input.id }, label), hint && h('p', { class: 'hint', id: `${input.id}-hint` }, hint));
}

const drafts = new Map();
addEventListener('beforeunload', (e) => { if (drafts.size) e.preventDefault(); });

/** Remembers what is typed into a form under a name, puts it back when the form is made again, and tells whether it did.
    Passwords are kept too, in memory only: they are as hard to type again as anything else. */
export function keep(name, form) {
  const fields = () => [...form.querySelectorAll('input[name], select[name], textarea[name]')];
  const value = (el) => (el.type === 'checkbox' ? el.checked : el.value);
  const before = drafts.get(name);
  const original = JSON.stringify(fields().map(value));
  if (before) {
    for (const el of fields()) {
      if (!(el.name in before)) continue;
      if (el.type === 'checkbox') el.checked = before[el.name]; else el.value = before[el.name];
    }
  }
  form.addEventListener('input', () => {
    if (JSON.stringify(fields().map(value)) === original) drafts.delete(name);
    else drafts.set(name, Object.fromEntries(fields().map((el) => [el.name, value(el)])));
  });
  return !!before;
}

/** Forgets what was typed, because it is saved or not wanted. */
export const forget = (name) => drafts.delete(name);

/** Whether something typed waits under a name. */
export const kept = (name) => drafts.has(name);

/** Asks before something that cannot be undone. */
export function confirmed(question, button) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { class: 'ask', 'aria-label': question, onclose: () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); } },
      h('form', { method: 'dialog' }, h('p', {}, question), h('div', { class: 'buttons' },
        h('button', { value: 'no' }, t('button.cancel')), h('button', { value: 'yes', class: 'danger' }, button))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Runs what a button does, with the button disabled meanwhile. */
export const busy = (f) => async (e) => {
  const button = e.currentTarget;
  button.disabled = true;
  try { await f(e); } finally { button.disabled = false; }
};

/** Calls f now and every few seconds while the page is looked at, until the returned function is called. */
export function refreshing(seconds, f) {
  let stopped = false; let timer;
  const turn = async (first) => {
    if (stopped) return;
    if (first || document.visibilityState === 'visible') await f(!first);
    if (!stopped) timer = setTimeout(turn, seconds * 1000, false);
  };
  const begun = turn(true);
  return { begun, stop: () => { stopped = true; clearTimeout(timer); } };
}

/** A moment, as people of this language write it. */
export const moment = (iso) => h('time', { datetime: iso }, new Date(iso).toLocaleString(language(), { dateStyle: 'medium', timeStyle: 'medium' }));

/** A day. */
export const day = (iso) => h('time', { datetime: iso }, new Date(iso).toLocaleDateString(language(), { dateStyle: 'medium' }));

/** How long ago or ahead a moment is, in the largest unit that fits. */
export function ago(iso) {
  const s = (new Date(iso) - Date.now()) / 1000;
  const [n, unit] = Math.abs(s) < 90 ? [s, 'second'] : Math.abs(s) < 5400 ? [s / 60, 'minute'] : Math.abs(s) < 129600 ? [s / 3600, 'hour'] : [s / 86400, 'day'];
  return new Intl.RelativeTimeFormat(language(), { numeric: 'auto' }).format(Math.round(n), unit);
}

/** A number, as people of this language write it. */
export const number = (n) => n.toLocaleString(language());

/** Saves a text somebody typed in lines as a list. */
export const splitLines = (text) => text.split(/[\n,]/).map((s) => s.trim()).filter(Boolean);

/** Says that something was done. */
export function done(text) {
  const el = h('div', { class: 'toast' }, text);
  document.getElementById('toasts').append(el);
  announce(text);
  setTimeout(() => el.remove(), 5000);
}
