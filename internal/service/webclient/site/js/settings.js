// Settings of this device: language, devices, notifications, what it remembers.

import { h, fill, toast, iconButton } from './dom.js';
import { t, languages, language, setLanguage } from './i18n.js';
import { camera, chime, choose, devices, listen, microphone, play } from './media.js';
import { canInstall, install } from './install.js';

/** The pane of settings. */
export function settings({ agent, history, signOut, back }) {
  const parts = h('div', { class: 'settings' });
  const picture = h('video', { class: 'mirror', autoplay: true, playsInline: true, muted: true, 'aria-label': t('call.ownpicture') });
  const loudness = h('meter', { min: 0, max: 1, value: 0, 'aria-label': t('settings.loudness') });
  const trying = h('div', { class: 'trial', hidden: true }, picture, loudness, h('button', { type: 'button', onclick: chime }, t('settings.chime')));
  let end; let turn = 0;

  // Shows the chosen camera, and how loud the chosen microphone hears.
  async function look() {
    quit();
    const mine = ++turn;
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: microphone(), video: camera() }).catch(() => navigator.mediaDevices.getUserMedia({ audio: microphone() }));
    } catch { return void toast(t('call.denied')); }
    if (mine !== turn) return void stream.getTracks().forEach((x) => x.stop());
    trying.hidden = false;
    picture.hidden = !stream.getVideoTracks().length;
    play(picture, stream);
    const deaf = listen(stream, (level) => { loudness.value = level; });
    end = () => { deaf(); stream.getTracks().forEach((x) => x.stop()); picture.srcObject = null; trying.hidden = true; };
    draw();
    return undefined;
  }

  function quit() { turn++; end?.(); end = undefined; }

  async function draw() {
    const all = await devices();
    const select = (kind) => {
      const { list, chosen } = all[kind];
      const id = `device-${kind}`;
      return [h('label', { for: id }, t(`settings.${kind}`)),
        h('select', { id, onchange: (e) => { choose(kind, e.target.value); if (end) look(); } }, h('option', { value: '' }, t('settings.default')),
          list.map((d, i) => h('option', { value: d.deviceId, selected: d.deviceId === chosen }, d.label || t('settings.unnamed', { n: i + 1 }))))];
    };
    const unnamed = Object.values(all).some(({ list }) => list.some((d) => !d.label)) || !all.audioinput.list.length;
    const permission = globalThis.Notification?.permission ?? 'denied';
    fill(parts,
      h('section', {}, h('h3', {}, t('settings.account')), h('p', {}, agent.aor),
        h('button', { type: 'button', id: 'sign-out', onclick: signOut }, t('settings.signout'))),
      h('section', {}, h('h3', {}, t('settings.devices')), ['audioinput', 'audiooutput', 'videoinput'].map(select),
        trying, h('button', { type: 'button', id: 'try', 'data-key': 'try', 'aria-expanded': String(!!end), onclick: () => { if (end) { quit(); draw(); } else look(); } }, t(end ? 'settings.tryend' : unnamed ? 'settings.allow' : 'settings.try')),
        h('p', { class: 'hint' }, t('settings.devicehint'))),
      h('section', {}, h('h3', {}, t('settings.notifications')), h('p', { class: 'hint' }, t(`settings.notify.${permission}`)),
        permission === 'default' && h('button', { type: 'button', onclick: async () => { await Notification.requestPermission(); draw(); } }, t('settings.notify'))),
      canInstall() && h('section', {}, h('h3', {}, t('settings.app')), h('p', { class: 'hint' }, t('settings.apphint')),
        h('button', { type: 'button', onclick: async () => { await install(); draw(); } }, t('settings.install'))),
      h('section', {}, h('h3', {}, h('label', { for: 'language' }, t('settings.language'))),
        h('select', { id: 'language', onchange: (e) => { setLanguage(e.target.value); location.reload(); } },
          Object.entries(languages).map(([code, name]) => h('option', { value: code, selected: code === language() }, name)))),
      h('section', {}, h('h3', {}, t('settings.history')), h('p', { class: 'hint' }, t('settings.historyhint')),
        h('button', { type: 'button', class: 'danger', onclick: clear }, t('settings.clear'))));
    if (end) picture.play().catch(() => {}); // it stopped while it was moved
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
    draw() {}, left: quit, shown() { document.getElementById('settings-title')?.focus(); },
  };
}
