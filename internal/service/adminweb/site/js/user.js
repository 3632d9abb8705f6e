// One user: what an administrator may change of him. Only what was changed is sent, on top of the version that was read.

import { h, fill } from './dom.js';
import { t } from './i18n.js';
import { change, get, getWith, may, session } from './api.js';
import { badge, busy, check, confirmed, done, errorBox, facts, field, forget, keep, moment, section, splitLines } from './parts.js';

const card = ['givenName', 'sn', 'title', 'department', 'company', 'physicalDeliveryOfficeName', 'mail', 'telephoneNumber', 'homePhone', 'mobile', 'otherTelephone', 'streetAddress', 'l', 'st', 'postalCode', 'c'];
const switches = ['voice', 'video', 'messaging', 'offlineMessages', 'federation', 'outsideAccess'];
const limits = { maxEndpoints: [1, 64], maxContacts: [0, 1000], maxSubscriptions: [0, 3000], maxSubscribers: [0, 600] };
const roles = ['', 'viewer', 'helpdesk', 'administrator'];
const nothing = { aor: '', name: '', phones: [], aliases: [], enabled: true, role: '', profile: {}, policy: { maxEndpoints: 8, voice: true, video: true, messaging: true, offlineMessages: true, maxContacts: 250, maxSubscriptions: 1000, maxSubscribers: 200, federation: true, outsideAccess: false, homePool: '' } };

const at = (aor) => `/users/${encodeURIComponent(aor)}`;

/** What the fields of the form say of a user, by the names of the fields. */
function texts(u) {
  const out = { name: u.name, phones: u.phones.map((p) => p.replace('tel:', '')).join('\n'), aliases: u.aliases.join('\n'), enabled: u.enabled, role: u.role ?? '', homePool: u.policy.homePool };
  for (const k of card) out[k] = u.profile[k] ?? '';
  for (const k of switches) out[k] = u.policy[k];
  for (const k of Object.keys(limits)) out[k] = String(u.policy[k]);
  return out;
}

/** The page of a user, or of a new one. */
export async function userPage(path) {
  const isNew = path === 'new';
  let { value: user, tag } = isNew ? { value: nothing, tag: '*' } : await getWith(at(path));
  const own = user.aor === session.me.aor;
  const full = may('administrator');
  const editable = isNew ? full : full || may('helpdesk') && (!user.role || own);
  const here = !user.source; // kept here and not in another directory
  const error = errorBox();

  const off = (allowed) => ({ disabled: !editable || !allowed });
  const input = (name, props = {}, allowed = here) => h('input', { name, autocomplete: 'off', ...off(allowed), ...props });
  const address = h('input', { name: 'address', id: 'user-address', required: true, autocapitalize: 'none', spellcheck: 'false', autocomplete: 'off', placeholder: t('signin.example') });
  const password = h('input', { name: 'password', id: 'user-password', type: 'password', autocomplete: 'new-password', ...off(here) });
  const shown = h('input', { onchange: () => { password.type = shown.checked ? 'text' : 'password'; }, ...off(here) });
  const role = h('select', { name: 'role', id: 'user-role', ...off(full && !own) }, roles.map((r) => h('option', { value: r }, t(r ? `role.${r}` : 'role.none'))));
  const save = h('button', { type: 'submit', class: 'primary', id: 'save' }, t(isNew ? 'users.add' : 'button.save'));
  const form = h('form', { class: 'edit', autocomplete: 'off', novalidate: !isNew },
    section(t('user.about'),
      isNew ? field(t('user.address'), address) : null,
      field(t('user.name'), input('name', { id: 'user-name', maxLength: 256 })),
      field(t('user.numbers'), h('textarea', { name: 'phones', id: 'user-phones', rows: 2, spellcheck: 'false', ...off(here) }), t('user.numbershint')),
      field(t('user.aliases'), h('textarea', { name: 'aliases', rows: 2, spellcheck: 'false', autocapitalize: 'none', ...off(here && full) }), t('user.aliaseshint')),
      check(t('user.maysignin'), h('input', { name: 'enabled', id: 'user-enabled', ...off(here && !own) }), own ? t('user.own') : t('user.enabledhint'))),
    section(t('user.password'),
      here ? [field(t(user.has_password ? 'user.newpassword' : 'user.setpassword'), password, t('user.passwordhint')), check(t('user.showpassword'), shown)]
        : h('p', {}, t('user.passwordelsewhere', { source: user.source }))),
    section(t('user.role'), field(t('user.role'), role, own ? t('user.own') : t('user.rolehint'))),
    h('details', { class: 'panel' }, h('summary', {}, h('h2', {}, t('user.card'))), h('div', { class: 'columns' }, card.map((k) => field(t(`card.${k}`), input(k))))),
    h('details', { class: 'panel' }, h('summary', {}, h('h2', {}, t('user.policy'))),
      h('div', { class: 'columns' }, switches.map((k) => check(t(`policy.${k}`), h('input', { name: k, ...off(full) })))),
      h('div', { class: 'columns' }, Object.entries(limits).map(([k, [min, max]]) => field(t(`policy.${k}`), input(k, { type: 'number', min, max, inputMode: 'numeric' }, full), `${min} – ${max}`)),
        field(t('policy.homePool'), input('homePool', { autocapitalize: 'none' }, full), t('policy.homePoolhint')))),
    error.el,
    editable ? h('div', { class: 'buttons bar' }, save, h('button', { type: 'button', onclick: () => { forget(draft); location.hash = '#/users'; } }, t('button.cancel'))) : h('p', { class: 'hint' }, t('user.readonly')));

  const fields = () => [...form.querySelectorAll('input[name], select[name], textarea[name]')].filter((el) => el.name !== 'password' && el.name !== 'address');
  const value = (el) => (el.type === 'checkbox' ? el.checked : el.value);
  let base = texts(user); // what the form was filled with
  const put = (el, v) => { if (el.type === 'checkbox') el.checked = v; else el.value = v; };
  for (const el of fields()) put(el, base[el.name]);
  const draft = `user ${path}`;
  if (keep(draft, form)) done(t('draft.back'));

  /** The change that the form describes. */
  function changes() {
    const c = {};
    for (const el of fields()) {
      const now = value(el);
      const k = el.name;
      if (now === base[k]) continue;
      if (k === 'phones' || k === 'aliases') c[k] = splitLines(now);
      else if (card.includes(k)) (c.profile ??= {})[k] = now;
      else if (switches.includes(k) || k === 'homePool') (c.policy ??= {})[k] = now;
      else if (k in limits) (c.policy ??= {})[k] = Number(now);
      else c[k] = now;
    }
    if (password.value) c.password = password.value;
    return c;
  }

  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    const c = changes();
    if (!isNew && !Object.keys(c).length) return void done(t('user.nochange'));
    save.disabled = true;
    error.clear();
    try {
      if (isNew) {
        const aor = address.value.trim().toLowerCase();
        await change('PUT', at(aor), c, '*');
        forget(draft);
        done(t('user.added', { name: aor }));
        location.hash = '#/users';
      } else {
        ({ value: user, tag } = await change('PATCH', at(user.aor), c, tag));
        forget(draft);
        done(t('user.saved', { name: user.aor }));
        base = texts(user);
        for (const el of fields()) put(el, base[el.name]);
        password.value = '';
        drawSummary();
      }
    } catch (err) {
      if (err.status === 412) await merge(err); else error.show(err);
    } finally { save.disabled = false; }
    return undefined;
  });

  /** Somebody else changed the user meanwhile: fields that were not touched here show what they are now, the others stay. */
  async function merge(err) {
    try {
      const fresh = await getWith(at(user.aor));
      const next = texts(fresh.value);
      for (const el of fields()) if (value(el) === base[el.name]) put(el, next[el.name]);
      ({ value: user, tag } = fresh);
      base = next;
      drawSummary();
      error.show(err, h('p', {}, t('user.merged')));
    } catch (e) { error.show(e); }
  }

  const summary = h('div', {});
  function drawSummary() {
    if (isNew) return;
    fill(summary, facts([
      [t('user.address'), user.aor],
      [t('user.state'), [user.enabled ? badge('good', t('user.enabled')) : badge('off', t('user.disabled')), ' ', !user.has_password && here && badge('soon', t('user.nopassword'))]],
      user.source && [t('user.keptin'), user.source],
      [t('user.created'), moment(user.created)], [t('user.changed'), moment(user.changed)]]));
  }
  drawSummary();

  const remove = full && !isNew && !own && section(t('user.remove'), h('p', {}, t('user.removehint')),
    h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'danger', id: 'remove', onclick: busy(async () => {
      if (!await confirmed(t('user.removeask', { name: user.aor }), t('user.remove'))) return;
      try {
        await change('DELETE', at(user.aor), undefined, tag);
        forget(draft);
        done(t('user.removed', { name: user.aor }));
        location.hash = '#/users';
      } catch (e) { error.show(e); }
    }) }, t('user.remove'))));

  return {
    title: isNew ? t('users.add') : user.name || user.aor,
    tools: !isNew && h('div', { class: 'buttons' }, may('helpdesk') && h('a', { class: 'button', href: `#/trace/${encodeURIComponent(user.aor)}` }, t('user.trace')), h('a', { class: 'button', href: `#/audit/${encodeURIComponent(user.aor)}` }, t('user.audit'))),
    el: h('div', { class: 'narrow' }, h('p', {}, h('a', { href: '#/users' }, t('users.all'))), summary, form, !isNew && await groupsOf(user.aor, full, error), remove),
  };
}

/** The groups a user is in, and others to be put into. */
async function groupsOf(aor, full, error) {
  const body = h('div', {});
  async function draw() {
    const all = await get('/groups');
    const mine = all.filter((g) => g.members.includes(aor));
    const rest = all.filter((g) => !g.members.includes(aor));
    const choice = h('select', { id: 'group-choice', 'aria-label': t('user.groupadd') }, rest.map((g) => h('option', { value: g.address }, g.name || g.address)));
    const set = (g, body_) => busy(async () => {
      try { await change('PATCH', `/groups/${encodeURIComponent(g)}`, body_, '*'); await draw(); } catch (e) { error.show(e); }
    });
    fill(body, mine.length ? h('ul', { class: 'chips' }, mine.map((g) => h('li', {}, h('a', { href: `#/groups/${encodeURIComponent(g.address)}` }, g.name || g.address),
      full && h('button', { type: 'button', class: 'quiet', 'aria-label': t('user.groupleave', { group: g.name || g.address }), onclick: set(g.address, { remove: [aor] }) }, '×')))) : h('p', { class: 'hint' }, t('user.nogroups')),
    full && rest.length > 0 && h('div', { class: 'buttons' }, choice, h('button', { type: 'button', 'data-key': 'join', onclick: (e) => set(choice.value, { add: [aor] })(e) }, t('user.groupadd'))));
  }
  await draw();
  return section(t('nav.groups'), body);
}
