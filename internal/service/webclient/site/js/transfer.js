// Handing the peer of a call over to somebody else.

import { h, fill, avatar, icon, toast } from './dom.js';
import { t } from './i18n.js';

/** The panel in which somebody is chosen: with a word before, or without. done is called when the choice is made. */
export function transferPanel({ people, calls, done }) {
  const list = h('ul', { class: 'transfer-list', 'aria-label': t('people.results') });
  let found = []; let asked = 0; let timer;
  const input = h('input', {
    type: 'search', id: 'transfer-to', placeholder: t('call.transferto'), 'aria-label': t('call.transferto'), autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none',
    oninput: () => { draw(); clearTimeout(timer); timer = setTimeout(search, 200); },
  });
  const el = h('div', { class: 'transfer', hidden: true, role: 'group', 'aria-label': t('call.transfer') }, h('div', { class: 'search' }, icon('search'), input), list);

  async function search() {
    const text = input.value.trim();
    const mine = ++asked;
    const result = text ? await people.search(text).catch(() => []) : [];
    if (mine === asked) { found = result.map((p) => p.aor); draw(); }
  }

  const choose = (how, peer) => async () => {
    done();
    try { await calls[how](peer); } catch { toast(t('call.transferfailed')); }
  };

  function row(peer) {
    const name = people.nameOf(peer);
    return h('li', { class: 'transfer-row' }, avatar(name, people.presence.get(peer) ?? 'unknown'),
      h('span', { class: 'row-text' }, h('span', { class: 'row-title' }, name), name !== peer && h('span', { class: 'row-sub' }, peer)),
      h('button', { type: 'button', 'data-key': `ask:${peer}`, 'aria-label': t('call.askname', { name }), onclick: choose('consult', peer) }, t('call.ask')),
      h('button', { type: 'button', class: 'primary', 'data-key': `hand:${peer}`, 'aria-label': t('call.handname', { name }), onclick: choose('transfer', peer) }, t('call.hand')));
  }

  function draw() {
    const typed = people.address(input.value);
    const all = input.value.trim() ? [...found, typed] : [...people.contacts.keys()].slice(0, 20);
    fill(list, [...new Set(all)].filter((p) => p && p !== calls.current?.peer).map(row));
  }

  return {
    el,
    open() { el.hidden = false; input.value = ''; found = []; draw(); input.focus(); },
    close() { el.hidden = true; clearTimeout(timer); },
  };
}
