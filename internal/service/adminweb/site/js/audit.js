// Who changed what, and from where.

import { h, fill } from './dom.js';
import { t } from './i18n.js';
import { get } from './api.js';
import { busy, errorBox, moment, table } from './parts.js';

const PAGE = 100;

export async function page(path) {
  const error = errorBox();
  const object = h('input', { type: 'search', value: path, 'aria-label': t('audit.object'), placeholder: t('audit.object'), autocapitalize: 'none' });
  const who = h('input', { type: 'search', 'aria-label': t('audit.who'), placeholder: t('audit.who'), autocapitalize: 'none' });
  const results = h('div', { 'aria-live': 'polite' });
  let records = [];
  async function load(more) {
    try {
      const next = await get(`/audit?max=${PAGE}&object=${encodeURIComponent(object.value.trim())}&who=${encodeURIComponent(who.value.trim())}${more && records.length ? `&before=${records.at(-1).id}` : ''}`);
      records = more ? records.concat(next) : next;
      error.clear();
      draw(next.length === PAGE);
    } catch (e) { error.show(e); }
  }
  const detail = (r) => (r.detail === undefined ? '' : h('details', {}, h('summary', {}, t('audit.detail')), h('pre', { tabindex: '0' }, JSON.stringify(r.detail, null, 1))));
  const draw = (more) => fill(results, table({ caption: t('nav.audit'), rows: records, empty: t('audit.none'), columns: [
    { label: t('audit.at'), class: 'main', cell: (r) => moment(r.at) }, { label: t('audit.who'), cell: (r) => r.who },
    { label: t('audit.from'), cell: (r) => r.from || t('audit.socket') }, { label: t('audit.action'), cell: (r) => h('code', {}, r.action) },
    { label: t('audit.subject'), cell: (r) => r.object }, { label: t('audit.what'), cell: detail }] }),
  more && h('div', { class: 'buttons' }, h('button', { type: 'button', 'data-key': 'more', onclick: busy(() => load(true)) }, t('list.more'))));
  await load(false);
  return { title: t('nav.audit'), el: h('div', {}, error.el, h('form', { class: 'tools', role: 'search', onsubmit: (e) => { e.preventDefault(); load(false); } }, object, who, h('button', { type: 'submit' }, t('button.show'))), results) };
}
