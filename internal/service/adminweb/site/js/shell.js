// The frame around the pages: navigation, who is signed in, and which page the address names.

import { h, fill, icon, addIcons, announce } from './dom.js';
import { t } from './i18n.js';
import { session, whenSignedOut, may } from './api.js';
import { signInAgain, languageChoice } from './signin.js';
import { sentence } from './parts.js';

addIcons({
  overview: 'M3 12h4l3-8 4 16 3-8h4',
  groups: 'M4 6h16M4 12h16M4 18h10',
  topology: 'M9 3h6v5H9zM3 16h6v5H3zM15 16h6v5h-6zM12 8v4M6 16v-4h12v4',
  live: 'M12 12h.01M8 8a6 6 0 0 0 0 8M16 8a6 6 0 0 1 0 8M5 5a10 10 0 0 0 0 14M19 5a10 10 0 0 1 0 14',
  certificates: 'M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4',
  audit: 'M6 3h9l4 4v14H6zM9 11h7M9 15h7M9 7h3',
  trace: 'M4 6h11M15 3l3 3-3 3M20 17H9M9 14l-3 3 3 3',
  menu: 'M4 7h16M4 12h16M4 17h16',
  door: 'M14 4H5v16h9M10 12h10M17 8l4 4-4 4',
});

// Pages, the module each is in, and the role without which it is not shown.
const pages = [
  ['overview', 'overview', 'viewer'], ['users', 'people', 'viewer'], ['groups', 'groups', 'viewer'], ['settings', 'gear', 'viewer'],
  ['topology', 'topology', 'viewer'], ['live', 'live', 'viewer'], ['trace', 'trace', 'helpdesk'],
  ['certificates', 'certificates', 'viewer'], ['audit', 'audit', 'viewer'],
];

/** Shows the pages until the one who is signed in signs out. */
export function shell(app, me) {
  return new Promise((resolve) => {
    whenSignedOut(() => signInAgain(me));
    const main = h('main', { id: 'main', tabindex: '-1' });
    const links = Object.fromEntries(pages.filter(([, , role]) => may(role)).map(([name, glyph]) =>
      [name, h('a', { href: `#/${name}` }, icon(glyph), h('span', {}, t(`nav.${name}`)))]));
    const nav = h('nav', { id: 'nav', 'aria-label': t('nav.label') }, h('ul', {}, Object.values(links).map((a) => h('li', {}, a))));
    const menu = h('button', { type: 'button', class: 'menu', 'aria-expanded': 'false', 'aria-controls': 'nav', 'aria-label': t('nav.menu'), onclick: () => show(!frame.classList.contains('open')) }, icon('menu'));
    const out = h('button', { type: 'button', id: 'sign-out', class: 'quiet', 'aria-label': t('app.signout'), title: t('app.signout'), onclick: signOut }, icon('door'), h('span', {}, t('app.signout')));
    const frame = h('div', { class: 'frame' },
      h('a', { class: 'skip', href: '#main', onclick: (e) => { e.preventDefault(); main.focus(); } }, t('nav.skip')),
      h('header', {}, menu, h('a', { class: 'brand', href: '#/overview', 'aria-label': 'Parley' }, h('img', { src: 'icon.svg', alt: '', width: 28, height: 28 }), h('span', {}, 'Parley')),
        h('p', { class: 'me' }, h('span', {}, me.name), h('span', { class: 'hint' }, t(`role.${me.role}`))), out),
      h('div', { class: 'side' }, nav, languageChoice()), main);

    function show(open) {
      frame.classList.toggle('open', open);
      menu.setAttribute('aria-expanded', String(open));
    }

    async function signOut() {
      try { await session.end(); } catch (e) { announce(sentence(e)); return; }
      removeEventListener('hashchange', go);
      now.stop?.();
      resolve();
    }

    let now = {}; let turn = 0;
    async function go() {
      const [, name, rest] = location.hash.match(/^#\/([a-z]+)(?:\/(.*))?$/) ?? [];
      if (!links[name]) return void (location.hash = '#/overview');
      const mine = ++turn;
      now.stop?.();
      now = {};
      show(false);
      for (const [n, a] of Object.entries(links)) if (n === name) a.setAttribute('aria-current', 'page'); else a.removeAttribute('aria-current');
      main.setAttribute('aria-busy', 'true');
      let page;
      try {
        const module = await import(`./${name}.js`);
        let path;
        try { path = decodeURIComponent(rest ?? ''); } catch { path = ''; } // no address that we made
        page = await module.page(path, me);
      } catch (e) {
        page = { title: t(`nav.${name}`), el: h('div', {}, h('div', { class: 'error-box', role: 'alert' }, h('p', {}, sentence(e))), h('button', { type: 'button', onclick: go }, t('button.retry'))) };
      }
      if (mine !== turn) return void page.stop?.();
      now = page;
      main.removeAttribute('aria-busy');
      document.title = `${page.title} – ${t('app.title')}`;
      const heading = h('h1', { tabindex: '-1' }, page.title);
      fill(main, h('div', { class: 'head' }, heading, page.tools), page.el);
      main.scrollTop = 0;
      main.dataset.page = name;
      heading.focus();
      return undefined;
    }
    fill(app, frame);
    addEventListener('hashchange', go);
    go();
  });
}
