// Users: the list with search, and one user.

import { h, fill, icon } from './dom.js';
import { t } from './i18n.js';
import { getWith, may } from './api.js';
import { badge, errorBox, number, table } from './parts.js';
import { userPage } from './user.js';

const PAGE = 50;
let search = ''; let onlyRoles = false; let skip = 0; // stay as they were when somebody comes back

export function page(path) {
  return path ? userPage(path) : list();
}

async function list() {
  const error = errorBox();
  const results = h('div', { 'aria-live': 'polite' });
  const box = h('input', { type: 'search', id: 'search', value: search, placeholder: t('users.search'), 'aria-label': t('users.search'), autocomplete: 'off' });
  const roles = h('input', { type: 'checkbox', id: 'only-roles', checked: onlyRoles });
  let timer; let turn = 0;
  box.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(() => { search = box.value; skip = 0; draw(); }, 250); });
  roles.addEventListener('change', () => { onlyRoles = roles.checked; skip = 0; draw(); });

  async function draw() {
    const mine = ++turn;
    let found;
    try {
      found = await getWith(`/users?max=${PAGE}&skip=${skip}&q=${encodeURIComponent(search)}${onlyRoles ? '&role=1' : ''}`);
      error.clear();
    } catch (e) { error.show(e); return; }
    if (mine !== turn) return;
    const { value: users, total } = found;
    const turnTo = (to) => () => { skip = to; draw(); };
    fill(results, table({
      caption: t('nav.users'), rows: users, empty: search || onlyRoles ? t('users.none') : t('users.nobody'), columns: [
        { label: t('user.address'), class: 'main', cell: (u) => h('a', { href: `#/users/${encodeURIComponent(u.aor)}` }, u.aor) },
        { label: t('user.name'), cell: (u) => u.name },
        { label: t('user.numbers'), cell: (u) => u.phones.map((p) => p.replace('tel:', '')).join(', ') },
        { label: t('user.state'), cell: (u) => [u.enabled ? badge('good', t('user.enabled')) : badge('off', t('user.disabled')),
          u.enabled && !u.has_password && !u.source && badge('soon', t('user.nopassword')), u.source && badge('plain', u.source)] },
        { label: t('user.role'), cell: (u) => (u.role ? badge('plain', t(`role.${u.role}`)) : '') }],
    }), total > PAGE && h('div', { class: 'buttons' },
      h('button', { type: 'button', 'data-key': 'back', disabled: skip === 0, onclick: turnTo(Math.max(0, skip - PAGE)) }, t('list.before')),
      h('p', {}, t('list.range', { from: number(skip + 1), to: number(skip + users.length), total: number(total) })),
      h('button', { type: 'button', 'data-key': 'on', disabled: skip + users.length >= total, onclick: turnTo(skip + PAGE) }, t('list.after'))));
  }
  await draw();
  return {
    title: t('nav.users'),
    tools: may('administrator') && h('a', { class: 'button primary', id: 'add-user', href: '#/users/new' }, icon('add'), t('users.add')),
    el: h('div', {}, error.el, h('div', { class: 'tools', role: 'search' }, box, h('div', { class: 'check' }, roles, h('label', { for: 'only-roles' }, t('users.onlyroles')))), results),
  };
}
