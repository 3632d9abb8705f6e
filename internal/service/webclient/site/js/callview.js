// The call that is going on: pictures, what it does, and the buttons for it.

import { h, fill, avatar, icon, iconButton, toast } from './dom.js';
import { t, duration } from './i18n.js';
import { play } from './media.js';
import { transferPanel } from './transfer.js';

/** The panel of the current call; empty while there is none. */
export function callView({ people, calls }) {
  const theirs = h('video', { autoplay: true, playsInline: true, muted: true, class: 'theirs', 'aria-label': t('call.theirpicture') });
  const own = h('video', { autoplay: true, playsInline: true, muted: true, class: 'own', 'aria-label': t('call.ownpicture') });
  const status = h('p', { class: 'call-status', role: 'status' });
  const clock = h('span', { class: 'call-clock' });
  const name = h('h2');
  const face = h('span', { class: 'call-face' });
  const waiting = h('div', { class: 'call-waiting', hidden: true });
  const buttons = h('div', { class: 'call-buttons', role: 'toolbar', 'aria-label': t('call.controls') });
  const keypad = h('div', { class: 'keypad', hidden: true, role: 'group', 'aria-label': t('call.keypad') },
    [...'123456789*0#'].map((k) => h('button', { type: 'button', onclick: () => calls.current?.tone(k) }, k)));
  const transfer = transferPanel({ people, calls, done: () => { transfer.close(); draw(); } });
  const el = h('section', { class: 'call', hidden: true, 'aria-label': t('call.panel') },
    h('div', { class: 'stage' }, theirs, own, h('div', { class: 'call-who' }, face, name, status, clock)), waiting, keypad, transfer.el, buttons);
  let drawn; let ticking;

  const attempt = (what) => async () => {
    try { await what(); } catch (e) { if (e.name !== 'NotAllowedError') toast(t('call.changefailed')); else toast(t('call.denied')); }
  };

  function toggle(glyph, label, on, action, key) {
    return iconButton(glyph, label, action, { 'aria-pressed': String(on), 'data-key': key, class: `icon-button round${on ? ' on' : ''}` });
  }

  // The keypad and the choice of whom to hand over to take the same room.
  const open = (which) => () => {
    keypad.hidden = which !== 'keypad' || !keypad.hidden;
    if (which === 'transfer' && transfer.el.hidden) transfer.open(); else transfer.close();
    draw();
  };

  function controls(c) {
    const hang = (label) => h('button', { type: 'button', class: 'icon-button round danger', 'data-key': 'hangup', title: label, 'aria-label': label, onclick: () => c.hangUp() }, icon('hangup'));
    switch (c.state) {
      case 'incoming': return [
        h('button', { type: 'button', class: 'icon-button round accept', 'data-key': 'answer', title: t('call.answer'), 'aria-label': t('call.answer'), onclick: () => c.answer(false) }, icon('phone')),
        c.video && h('button', { type: 'button', class: 'icon-button round accept', 'data-key': 'answervideo', title: t('call.answervideo'), 'aria-label': t('call.answervideo'), onclick: () => c.answer(true) }, icon('video')),
        hang(t('call.decline'))];
      case 'active': return [
        toggle(c.muted ? 'micoff' : 'mic', t('call.mute'), c.muted, () => c.mute(), 'mute'),
        toggle(c.cameraOn ? 'video' : 'videooff', t('call.camera'), c.cameraOn, attempt(() => c.toggleCamera()), 'camera'),
        navigator.mediaDevices.getDisplayMedia && toggle('screen', t('call.share'), c.sharing, attempt(() => c.share()), 'share'),
        toggle(c.held ? 'play' : 'pause', t('call.hold'), c.held, attempt(() => c.hold()), 'hold'),
        toggle('keypad', t('call.keypad'), !keypad.hidden, open('keypad'), 'keypad'),
        !calls.waiting && toggle('transfer', t('call.transfer'), !transfer.el.hidden, open('transfer'), 'transfer'),
        hang(t('call.hangup'))];
      case 'ended': return [h('button', { type: 'button', class: 'primary', 'data-key': 'close', onclick: () => calls.dismiss() }, t('call.close'))];
      default: return [hang(t('call.hangup'))];
    }
  }

  // Who waits while one talks with somebody else, and what can be done about it.
  function beside(c) {
    const other = calls.waiting;
    if (!other || c.state === 'incoming' || other.over) return [];
    const them = people.nameOf(other.peer);
    return [h('p', {}, t('call.waits', { name: them })), c.state === 'active' && [
      c.origin && h('button', { type: 'button', class: 'primary', 'data-key': 'complete', disabled: c.origin.transferring, onclick: () => calls.complete().catch(() => toast(t('call.transferfailed'))) },
        t('call.complete')),
      h('button', { type: 'button', 'data-key': 'swap', onclick: attempt(() => calls.swap()) }, icon('swap'), t('call.swap'))]];
  }

  function says(c) {
    if (c.state === 'ended') return t(c.text, { name: people.nameOf(c.given ?? c.peer) });
    if (c.state === 'incoming') return t(c.video ? 'call.incomingvideo' : 'call.incoming');
    if (c.transferring) return t('call.handing');
    if (c.lost) return t('call.reconnecting');
    if (c.held) return t('call.held');
    if (c.heldByPeer) return t('call.heldbypeer');
    return c.state === 'active' ? (c.sharing ? t('call.sharing') : '') : t(`call.${c.state}`);
  }

  function tick() {
    const c = calls.current;
    clock.textContent = c?.begin && !c.over ? duration(Date.now() - c.begin) : '';
  }

  function draw() {
    const c = calls.current;
    el.hidden = !c;
    document.body.classList.toggle('calling', !!c);
    if (c?.state !== 'active') { keypad.hidden = true; transfer.close(); }
    if (!c) { clearInterval(ticking); ticking = 0; theirs.srcObject = own.srcObject = null; drawn = undefined; return; }
    ticking ||= setInterval(tick, 1000);
    tick();
    name.textContent = people.nameOf(c.peer);
    fill(face, avatar(people.nameOf(c.peer)));
    const text = says(c);
    if (status.textContent !== text) status.textContent = text;
    if (theirs.srcObject !== c.remote) { play(theirs, c.remote); }
    const picture = c.sharing ? c.screen : c.stream;
    if (own.srcObject !== picture) own.srcObject = picture ?? null;
    own.hidden = c.over || !picture || !(c.sharing || c.cameraOn);
    own.classList.toggle('mirror', !c.sharing);
    theirs.hidden = c.over || !c.peerVideo;
    el.classList.toggle('has-picture', !theirs.hidden);
    el.classList.toggle('has-panel', !transfer.el.hidden);
    el.dataset.state = c.state;
    fill(waiting, beside(c));
    waiting.hidden = !waiting.childElementCount;
    fill(buttons, controls(c));
    const now = `${c.id} ${c.state}`;
    if (drawn !== now) {
      drawn = now;
      if (c.state === 'incoming' || c.state === 'ended') buttons.querySelector('button')?.focus();
    }
  }
  return { el, draw };
}
