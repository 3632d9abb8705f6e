// Signing in: as a page at first, as a dialog over the page when the session has ended, so that nothing typed is lost.

import { h, fill } from './dom.js';
import { t, languages, language, setLanguage } from './i18n.js';
import { session } from './api.js';

function form(known, done) {
  const error = h('p', { class: 'error', id: 'signin-error', role: 'alert' });
  const user = h('input', { id: 'address', name: 'username', autocomplete: 'username', required: true, autocapitalize: 'none', spellcheck: 'false', placeholder: t('signin.example'), value: known ?? '', readOnly: !!known });
  const password = h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true, 'aria-describedby': 'signin-error' });
  const button = h('button', { class: 'primary', type: 'submit' }, t('signin.button'));
  return h('form', {
    class: 'card', onsubmit: async (e) => {
      e.preventDefault();
      button.disabled = true;
      error.textContent = '';
      try {
        const me = await session.begin(user.value, password.value);
        password.value = '';
        done(me);
      } catch (err) {
        error.textContent = err.status ? err.message : t('error.unreachable');
        password.select();
      } finally { button.disabled = false; }
    },
  },
  h('img', { src: 'icon.svg', alt: '', width: 56, height: 56 }),
  h('h1', {}, t(known ? 'signin.again' : 'signin.title')),
  known ? h('p', {}, t('signin.kept')) : h('p', { class: 'hint' }, t('signin.hint')),
  h('label', { for: 'address' }, t('signin.address')), user,
  h('label', { for: 'password' }, t('signin.password')), password,
  error, button);
}

/** Chooses the language. */
export function languageChoice() {
  const select = h('select', { 'aria-label': t('app.language'), onchange: () => { setLanguage(select.value); location.reload(); } },
    Object.entries(languages).map(([code, name]) => h('option', { value: code, selected: code === language() }, name)));
  return select;
}

/** Shows the form until somebody is signed in. */
export function signInPage(app) {
  return new Promise((resolve) => {
    fill(app, h('main', { class: 'sign-in' }, form(undefined, resolve), languageChoice()));
    app.querySelector('#address').focus();
  });
}

let open;

/** Asks for the password again, over whatever is shown. Another user would find somebody else's work: only the same may. */
export function signInAgain(me) {
  open ??= new Promise((resolve) => {
    const dialog = h('dialog', { class: 'again', 'aria-label': t('signin.again'), oncancel: (e) => e.preventDefault() });
    dialog.append(form(me.aor, () => { dialog.close(); dialog.remove(); open = undefined; resolve(); }),
      h('button', { class: 'link', type: 'button', onclick: () => location.reload() }, t('signin.other')));
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector('#password').focus();
  });
  return open;
}
