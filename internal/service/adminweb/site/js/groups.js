// Groups (distribution lists): the list, and one group.

import { h, icon } from './dom.js';
import { t } from './i18n.js';
import { change, get, getWith, may } from './api.js';
import { busy, confirmed, done, errorBox, field, forget, keep, number, section, splitLines, table } from './parts.js';

const at = (address) => `/groups/${encodeURIComponent(address)}`;

export const page = (path) => (path ? one(path) : list());

async function list() {
  const groups = await get('/groups');
  return {
    title: t('nav.groups'),
    tools: may('administrator') && h('a', { class: 'button primary', href: '#/groups/new' }, icon('add'), t('groups.add')),
    el: table({ caption: t('nav.groups'), rows: groups, empty: t('groups.none'), columns: [
      { label: t('user.address'), class: 'main', cell: (g) => h('a', { href: `#/groups/${encodeURIComponent(g.address)}` }, g.address) },
      { label: t('user.name'), cell: (g) => g.name }, { label: t('groups.description'), cell: (g) => g.description },
      { label: t('groups.members'), cell: (g) => number(g.members.length) }] }),
  };
}

async function one(path) {
  const isNew = path === 'new';
  let { value: group, tag } = isNew ? { value: { address: '', name: '', description: '', members: [] }, tag: '*' } : await getWith(at(path));
  const off = { disabled: !may('administrator') };
  const error = errorBox();
  const address = h('input', { name: 'address', required: true, autocapitalize: 'none', spellcheck: 'false', placeholder: t('groups.example') });
  const name = h('input', { name: 'name', value: group.name, ...off });
  const description = h('input', { name: 'description', value: group.description, ...off });
  const members = h('textarea', { name: 'members', rows: Math.min(16, Math.max(4, group.members.length + 1)), spellcheck: 'false', autocapitalize: 'none', value: group.members.join('\n'), ...off });
  const save = h('button', { type: 'submit', class: 'primary', id: 'save' }, t(isNew ? 'groups.add' : 'button.save'));
  const draft = `group ${path}`;
  const form = h('form', {
    class: 'edit', onsubmit: async (e) => {
      e.preventDefault();
      save.disabled = true;
      error.clear();
      const c = { name: name.value, description: description.value, members: splitLines(members.value) };
      try {
        if (isNew) await change('PUT', at(address.value.trim().toLowerCase()), c, '*');
        else ({ value: group, tag } = await change('PATCH', at(group.address), c, tag));
        forget(draft);
        done(t('user.saved', { name: group.address || address.value }));
        location.hash = '#/groups';
      } catch (err) {
        error.show(err);
        if (err.status === 412) ({ tag } = await getWith(at(group.address))); // the next attempt is on top of that
      } finally { save.disabled = false; }
    },
  }, section(t('groups.about'), isNew && field(t('user.address'), address), field(t('user.name'), name), field(t('groups.description'), description),
    field(t('groups.members'), members, t('groups.membershint'))), error.el,
  may('administrator') && h('div', { class: 'buttons bar' }, save, h('button', { type: 'button', onclick: () => { forget(draft); location.hash = '#/groups'; } }, t('button.cancel')),
    !isNew && h('button', { type: 'button', class: 'danger', onclick: busy(async () => {
      if (!await confirmed(t('user.removeask', { name: group.address }), t('groups.remove'))) return;
      try {
        await change('DELETE', at(group.address), undefined, tag);
        forget(draft);
        done(t('user.removed', { name: group.address }));
        location.hash = '#/groups';
      } catch (err) { error.show(err); }
    }) }, t('groups.remove'))));
  if (keep(draft, form)) done(t('draft.back'));
  return { title: isNew ? t('groups.add') : group.name || group.address, el: h('div', { class: 'narrow' }, h('p', {}, h('a', { href: '#/groups' }, t('groups.all'))), form) };
}
