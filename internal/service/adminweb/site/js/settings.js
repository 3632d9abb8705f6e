// What is set: the node file, media ports, trusted computers and applications.

import { h, fill } from './dom.js';
import { t } from './i18n.js';
import { change, get, may } from './api.js';
import { badge, busy, done, errorBox, section, table } from './parts.js';

export async function page() {
  const [config, deployment] = await Promise.all([get('/config'), get('/deployment')]);
  const error = errorBox();
  const result = h('div', { 'aria-live': 'polite' });
  const sections = [...new Set(config.map((v) => v.section))];
  const trusted = deployment.trusted;
  const reload = (dry) => busy(async () => {
    error.clear();
    try {
      const { value } = await change('POST', `/reload${dry ? '?dry-run=1' : ''}`);
      fill(result, changeList(value));
      if (!dry) done(t('settings.reloaded'));
    } catch (e) { error.show(e); }
  });
  return {
    title: t('nav.settings'),
    el: h('div', {},
      section(t('settings.media'), h('p', { class: 'hint' }, t('settings.mediahint')), table({ caption: t('settings.media'), rows: deployment.media, empty: t('settings.mediadefault'), columns: [
        { label: t('settings.what'), class: 'main', cell: (m) => t(`media.${m.key}`) }, { label: t('settings.ports'), cell: (m) => `${m.first}–${m.last}` },
        { label: t('settings.used'), cell: (m) => (m.used ? badge('good', t('yes')) : badge('off', t('settings.unused'))) }] })),
      section(t('settings.trusted'), h('p', { class: 'hint' }, t('settings.trustedhint')), table({ caption: t('settings.trusted'), rows: trusted, empty: t('settings.notrust'), columns: [
        { label: t('settings.what'), class: 'main', cell: (x) => x.computer || x.application }, { label: t('settings.kind'), cell: (x) => t(x.computer ? 'settings.computer' : 'settings.application') },
        { label: t('overview.pool'), cell: (x) => x.pool }, { label: t('ports.address'), cell: (x) => (x.port ? `${x.transport} ${x.port}` : x.addresses.join(', ')) },
        { label: t('settings.requests'), cell: (x) => (x.believed ? badge('soon', t('settings.believed')) : badge('good', t('settings.credentials'))) }] })),
      h('p', { class: 'hint' }, t('settings.intopology'), ' ', h('a', { href: '#/topology' }, t('settings.edit'))),
      h('h2', {}, t('settings.node')), h('p', { class: 'hint' }, t('settings.nodehint')),
      may('administrator') && h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: reload(true) }, t('settings.compare')), h('button', { type: 'button', onclick: reload(false) }, t('settings.reload'))),
      error.el, result,
      sections.map((s) => h('details', { class: 'panel' }, h('summary', {}, h('h3', {}, s)), table({ caption: s, rows: config.filter((v) => v.section === s), columns: [
        { label: t('settings.key'), class: 'main', cell: (v) => h('code', {}, v.key) },
        { label: t('settings.value'), cell: (v) => [h('code', {}, v.value || '""'), ' ', v.default && badge('off', t('settings.default'))] },
        { label: t('settings.meaning'), cell: (v) => v.doc },
        { label: t('settings.change'), cell: (v) => t(v.live ? 'settings.live' : 'settings.restart') }] })))),
  };
}

/** What a reload or a new topology changes. */
export function changeList(result) {
  if (!result.changes.length) return h('p', { class: 'note' }, t('change.none'));
  return h('div', { class: 'note' }, h('p', {}, t(result.applied ? 'change.applied' : 'change.would')),
    h('ul', { class: 'bullets' }, result.changes.map((c) => h('li', {}, c.text, ' ', badge(c.live ? 'good' : 'soon', t(c.live ? 'settings.live' : 'settings.restart'))))));
}
