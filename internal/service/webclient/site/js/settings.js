// Settings of this device: language, devices, notifications, what it remembers.

import { h, fill, toast, iconButton } from './dom.js';
import { t, languages, language, setLanguage } from './i18n.js';
import { choose, devices } from './media.js';

/** The pane of settings. */
export function settings({ agent, history, signOut, back }) {
  const parts = h('div', { class: 'settings' });

  async function draw() {
    const all = await devices();
    const select = (kind) => {
      const { list, chosen } = all[kind];
      const id = `device-${kind}`;
      return [h('label', { for: id }, t(`settings.${kind}`)),
        h('select', { id, onchange: (e) => choose(kind, e.target.value) }, h('option', { value: '' }, t('settings.default')),
          list.map((d, i) => h('option', { value: d.deviceId, selected: d.deviceId === chosen }, d.label || t('settings.unnamed', { n: i + 1 }))))];
    };
    const unnamed = Object.values(all).some(({ list }) => list.some((d) => !d.label)) || !all.audioinput.list.length;
    const permission = globalThis.Notification?.permission ?? 'denied';
    fill(parts,
      h('section', {}, h('h3', {}, t('settings.account')), h('p', {}, agent.aor),
        h('button', { type: 'button', id: 'sign-out', onclick: signOut }, t('settings.signout'))),
      h('section', {}, h('h3', {}, t('settings.devices')), ['audioinput', 'audiooutput', 'videoinput'].map(select),
        unnamed && h('button', { type: 'button', onclick: allow }, t('settings.allow')),
        h('p', { class: 'hint' }, t('settings.devicehint'))),
      h('section', {}, h('h3', {}, t('settings.notifications')), h('p', { class: 'hint' }, t(`settings.notify.${permission}`)),
        permission === 'default' && h('button', { type: 'button', onclick: async () => { await Notification.requestPermission(); draw(); } }, t('settings.notify'))),
      h('section', {}, h('h3', {}, h('label', { for: 'language' }, t('settings.language'))),
        h('select', { id: 'language', onchange: (e) => { setLanguage(e.target.value); location.reload(); } },
          Object.entries(languages).map(([code, name]) => h('option', { value: code, selected: code === language() }, name)))),
      h('section', {}, h('h3', {}, t('settings.history')), h('p', { class: 'hint' }, t('settings.historyhint')),
        h('button', { type: 'button', class: 'danger', onclick: clear }, t('settings.clear'))));
  }

  async function allow() {
    try {
      (await navigator.mediaDevices.getUserMedia({ audio: true, video: true })).getTracks().forEach((x) => x.stop());
    } catch { toast(t('call.denied')); }
    draw();
  }

  async function clear() {
    if (!confirm(t('settings.clearsure'))) return;
    await history.clear();
    location.reload();
  }

  draw();
  return {
    el: h('section', { class: 'conversation', 'aria-labelledby': 'settings-title' },
      h('header', {}, iconButton('back', t('nav.back'), back, { class: 'icon-button back' }), h('h2', { id: 'settings-title' }, t('nav.settings'))), parts),
    draw() {}, shown() { document.getElementById('settings-title')?.focus(); },
  };
}
