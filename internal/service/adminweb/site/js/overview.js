// How the node does: health, warnings, counts, services and listeners.

import { h, fill } from './dom.js';
import { t } from './i18n.js';
import { get } from './api.js';
import { ago, badge, errorBox, facts, moment, number, refreshing, section, table } from './parts.js';

/** What somebody should look at: [how bad, sentence, page]. */
function warnings(st, certificates) {
  const out = [];
  if (st.state !== 'running') out.push(['bad', t('overview.state', { state: st.state }), '']);
  for (const m of st.missing ?? []) out.push(['bad', `${m.name}: ${m.reason}`, '']);
  for (const s of st.services) if (s.state !== 'running') out.push(['bad', t('overview.service', { name: s.name, state: s.state, error: s.error ?? '' }), '']);
  for (const c of certificates) {
    if (c.state === 'expired') out.push(['bad', t('overview.expired', { name: c.subject, when: ago(c.not_after) }), '#/certificates']);
    if (c.state === 'soon') out.push(['soon', t('overview.expires', { name: c.subject, when: ago(c.not_after) }), '#/certificates']);
  }
  return out;
}

export async function page() {
  const error = errorBox();
  const el = h('div', {}, error.el);
  const body = h('div', {});
  el.append(body);
  async function draw(background) {
    let st; let certificates;
    try {
      [st, certificates] = await Promise.all([get('/status', { background }), get('/certificates', { background })]);
      error.clear();
    } catch (e) { error.show(e); return; }
    const open = body.querySelector('details')?.open;
    const bad = warnings(st, certificates);
    fill(body,
      h('div', { class: `health ${bad.some(([k]) => k === 'bad') ? 'bad' : bad.length ? 'soon' : 'good'}` },
        h('p', { class: 'health-word' }, bad.length ? t('overview.look', { n: bad.length }) : t('overview.well')),
        bad.length > 0 && h('ul', {}, bad.map(([, text, to]) => h('li', {}, to ? h('a', { href: to }, text) : text)))),
      h('ul', { class: 'counts', 'aria-label': t('overview.counts') }, [['users', '#/users'], ['registrations', '#/live'], ['calls', '#/live'], ['flows', '']].map(([k, to]) =>
        h('li', {}, h(to ? 'a' : 'div', to ? { href: to } : {}, h('strong', {}, number(st.counts[k])), h('span', {}, t(`count.${k}`)))))),
      section(t('overview.node'), facts([
        [t('overview.name'), st.node], [t('overview.pool'), st.pool], [t('overview.version'), st.version || '-'],
        [t('overview.started'), h('span', {}, moment(st.started), ` (${ago(st.started)})`)],
        [t('overview.domains'), st.domains.join(', ')], [t('overview.roles'), st.roles.join(', ')],
        [t('overview.topology'), h('a', { href: '#/topology' }, t('topology.revision', { n: st.topology }))],
        [t('overview.data'), st.data_dir], st.offset ? [t('overview.offset'), t('overview.offsettext', { n: st.offset })] : null,
        st.admin_http && [t('overview.health'), `http://${st.admin_http}/readyz`],
      ])),
      section(t('overview.services'), table({
        caption: t('overview.services'), rows: st.services, columns: [
          { label: t('overview.service.name'), cell: (s) => s.name },
          { label: t('overview.service.state'), cell: (s) => badge(s.state === 'running' ? 'good' : 'bad', t(`service.${s.state}`)) },
          { label: t('overview.service.note'), cell: (s) => s.error ?? '' }],
      })),
      section(t('overview.listeners'), h('details', { open }, h('summary', {}, t('overview.listenercount', { n: st.listeners.length })), table({
        caption: t('overview.listeners'), rows: st.listeners, columns: [
          { label: t('ports.row'), cell: (l) => l.row }, { label: t('ports.address'), cell: (l) => h('code', {}, l.address) },
          { label: t('ports.transport'), cell: (l) => l.transport }, { label: t('ports.service'), cell: (l) => l.service },
          { label: t('ports.note'), cell: (l) => l.extension ?? '' }],
      }))));
  }
  const { begun, stop } = refreshing(10, draw);
  await begun;
  return { title: t('nav.overview'), el, stop };
}
