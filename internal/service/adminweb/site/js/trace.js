// SIP as it passes, by user or by call. Credentials and contents are masked unless an administrator asks for them.

import { h } from './dom.js';
import { t, language } from './i18n.js';
import { lines, may } from './api.js';
import { check, errorBox, field } from './parts.js';

const MAX = 500;

export async function page(path) {
  const byCall = path.startsWith('call:');
  const error = errorBox();
  const user = h('input', { name: 'user', value: byCall ? '' : path, autocapitalize: 'none', spellcheck: 'false', placeholder: t('signin.example') });
  const call = h('input', { name: 'call', value: byCall ? path.slice(5) : '', autocapitalize: 'none', spellcheck: 'false' });
  const bodies = h('input', {});
  const credentials = h('input', {});
  const status = h('p', { class: 'hint', role: 'status' });
  const list = h('ol', { class: 'trace' });
  const start = h('button', { type: 'submit', class: 'primary' }, t('trace.start'));
  const halt = h('button', { type: 'button', disabled: true, onclick: () => stop() }, t('trace.stop'));
  let ending; let count = 0;

  function stop() { ending?.abort(); }

  function add(line) {
    count++;
    const time = new Date(line.time);
    list.prepend(h('li', {}, h('details', {}, h('summary', {}, h('span', { class: `way ${line.out ? 'out' : 'in'}` }, line.out ? '→' : '←', h('span', { class: 'unseen' }, t(line.out ? 'trace.out' : 'trace.in'))),
      h('time', { datetime: line.time }, `${time.toLocaleTimeString(language(), { hour12: false })}.${String(time.getMilliseconds()).padStart(3, '0')}`), h('strong', {}, line.title), h('code', {}, `${line.transport} ${line.remote}`)),
    h('pre', { tabindex: '0' }, line.text))));
    if (list.children.length > MAX) list.lastChild.remove();
    status.textContent = t('trace.count', { n: count });
  }

  const form = h('form', {
    class: 'panel', onsubmit: async (e) => {
      e.preventDefault();
      stop();
      const mine = new AbortController();
      ending = mine;
      error.clear();
      list.replaceChildren();
      count = 0;
      status.textContent = t('trace.waiting');
      halt.disabled = false;
      const q = new URLSearchParams({ follow: '1' });
      if (user.value.trim()) q.set('user', user.value.trim().toLowerCase());
      if (call.value.trim()) q.set('call', call.value.trim());
      if (bodies.checked) q.set('bodies', '1');
      if (credentials.checked) q.set('credentials', '1');
      try {
        await lines(`/trace?${q}`, mine.signal, (line) => { if (!mine.signal.aborted) add(line); });
      } catch (err) {
        if (err.name !== 'AbortError') error.show(err);
      }
      if (ending === mine) { halt.disabled = true; status.textContent = t('trace.ended', { n: count }); }
    },
  }, h('div', { class: 'columns' }, field(t('trace.user'), user, t('trace.userhint')), field('Call-ID', call)),
  may('administrator') && h('div', { class: 'columns' }, check(t('trace.bodies'), bodies), check(t('trace.credentials'), credentials)),
  may('administrator') && h('p', { class: 'hint' }, t('trace.unmaskhint')),
  h('div', { class: 'buttons' }, start, halt), status);
  return { title: t('nav.trace'), el: h('div', {}, error.el, form, list), stop };
}
