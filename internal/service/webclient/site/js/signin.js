// Signing in. The password is given to the SIP user agent, which proves it (digest) and never sends it.

import { h, fill } from './dom.js';
import { t, languages, language, setLanguage } from './i18n.js';
import { Agent } from './sip.js';

const KEY = 'signed-in';

let config;

async function serverConfig() {
  config ??= await (await fetch('config.json')).json();
  return config;
}

const socketURL = (path) => `wss://${location.host}${path}`;

/** Signs in again with what this tab was asked to remember; undefined when that is nothing, or does not work. */
export async function resume(app) {
  const kept = sessionStorage.getItem(KEY);
  if (!kept) return undefined;
  fill(app, h('main', { class: 'sign-in' }, h('p', { role: 'status' }, t('signin.again'))));
  try {
    const agent = new Agent({ ...JSON.parse(kept), socket: socketURL((await serverConfig()).socket) });
    await agent.signIn();
    return agent;
  } catch (e) {
    if (e.code) sessionStorage.removeItem(KEY);
    return undefined;
  }
}

/** Forgets what resume() would use. */
export function forget() { sessionStorage.clear(); }

function message(e) {
  switch (e.code) {
    case 401: case 407: return t('signin.wrong');
    case 403: return t('signin.refused');
    case 404: return t('signin.wrong');
    default: return e.code ? t('signin.failed', { code: e.code }) : t('signin.unreachable');
  }
}

/** Shows the form until somebody is signed in. */
export function showSignIn(app) {
  return new Promise((resolve) => {
    const error = h('p', { class: 'error', id: 'signin-error', role: 'alert' });
    const address = h('input', { id: 'address', name: 'username', autocomplete: 'username', required: true, autofocus: true, autocapitalize: 'none', spellcheck: 'false', placeholder: t('signin.example') });
    const password = h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true, 'aria-describedby': 'signin-error' });
    const remember = h('input', { id: 'remember', type: 'checkbox' });
    const button = h('button', { class: 'primary', type: 'submit' }, t('signin.button'));
    const form = h('form', {
      class: 'card', onsubmit: async (e) => {
        e.preventDefault();
        if (button.disabled) return;
        button.disabled = true;
        button.textContent = t('signin.busy');
        error.textContent = '';
        let failure;
        try {
          const { domains, socket } = await serverConfig();
          let aor = address.value.trim().toLowerCase().replace(/^sips?:/, '');
          if (!aor.includes('@')) aor += `@${domains[0]}`;
          const agent = new Agent({ aor, password: password.value, socket: socketURL(socket) });
          await agent.signIn();
          password.value = '';
          if (remember.checked) sessionStorage.setItem(KEY, JSON.stringify(agent.credentials));
          return resolve(agent);
        } catch (err) { failure = err; }
        button.disabled = false;
        button.textContent = t('signin.button');
        error.textContent = message(failure);
        if (failure.code) password.select();
        return undefined;
      },
    },
    h('img', { src: 'icon.svg', alt: '', width: 56, height: 56 }),
    h('h1', {}, t('signin.title')),
    h('label', { for: 'address' }, t('signin.address')), address,
    h('label', { for: 'password' }, t('signin.password')), password,
    h('label', { class: 'check', for: 'remember' }, remember, h('span', {}, t('signin.remember'))),
    error, button,
    h('p', { class: 'hint' }, t('signin.hint')));
    const lang = h('select', { 'aria-label': t('settings.language'), onchange: () => { setLanguage(lang.value); location.reload(); } },
      Object.entries(languages).map(([code, name]) => h('option', { value: code, selected: code === language() }, name)));
    fill(app, h('main', { class: 'sign-in' }, form, lang));
    address.focus();
    performance.mark('ready');
  });
}
