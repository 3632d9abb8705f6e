// The deployment: its drawing, pools and machines, the port plan, and the text behind it.

import { h, fill } from './dom.js';
import { t } from './i18n.js';
import { change, get, getWith, may } from './api.js';
import { badge, busy, confirmed, done, errorBox, field, forget, keep, section, table } from './parts.js';
import { changeList } from './settings.js';

const states = { served: 'good', 'client side': 'plain', 'not yet': 'off' };

/** The plan's own drawing: SVG that the server made, without scripts. It is black on white in every scheme. */
function drawing(site) {
  const svg = new DOMParser().parseFromString(site.drawing.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" '), 'image/svg+xml').documentElement;
  if (svg.localName !== 'svg') return h('p', {}, site.name);
  const el = document.importNode(svg, true);
  // What is drawn is shown as large as it is, without the room that the plan leaves for what this site has not.
  new ResizeObserver((_, watch) => {
    const box = el.getBBox();
    if (!box.width) return; // not shown yet
    watch.disconnect();
    el.setAttribute('viewBox', [box.x - 8, box.y - 8, box.width + 16, box.height + 16].join(' '));
    el.setAttribute('width', box.width + 16);
    if (box.width > 900) el.classList.add('wide');
  }).observe(el);
  return h('div', { class: 'drawing', tabindex: '0', role: 'group', 'aria-label': t('topology.drawing', { site: site.name }) }, el);
}

export async function page() {
  const [deployment, ports] = await Promise.all([get('/deployment'), get('/ports')]);
  return {
    title: t('nav.topology'),
    el: h('div', {}, h('p', { class: 'hint' }, t('topology.revision', { n: deployment.revision }), ' · ', deployment.domains.join(', ')),
      deployment.sites.map((s) => section(t('topology.site', { name: s.name }), drawing(s),
        table({ caption: t('topology.pools', { site: s.name }), rows: s.pools.flatMap((p) => p.machines.map((m) => ({ ...m, pool: p }))), empty: t('topology.nopools'), columns: [
          { label: t('topology.machine'), class: 'main', cell: (m) => m.fqdn }, { label: t('overview.pool'), cell: (m) => (m.pool.fqdn === m.fqdn ? '' : m.pool.fqdn) },
          { label: t('settings.kind'), cell: (m) => m.pool.kind }, { label: t('overview.roles'), cell: (m) => m.roles.join(', ') },
          { label: t('ports.address'), cell: (m) => m.addresses.join(', ') }] }))),
      portPlan(ports), await editor()),
  };
}

function portPlan(all) {
  const results = h('div', { 'aria-live': 'polite' });
  const box = h('input', { type: 'search', placeholder: t('ports.search'), 'aria-label': t('ports.search') });
  const state = h('select', { 'aria-label': t('ports.state') }, h('option', { value: '' }, t('ports.allstates')), Object.keys(states).map((s) => h('option', { value: s }, t(`ports.${s}`))));
  const count = (s) => all.filter((r) => r.state === s).length;
  function draw() {
    const text = box.value.toLowerCase();
    const rows = all.filter((r) => (!state.value || r.state === state.value) && (!text || [r.id, r.port, r.role, r.service, r.purpose].some((v) => v.toLowerCase().includes(text))));
    fill(results, table({ caption: t('ports.plan'), rows, empty: t('users.none'), columns: [
      { label: t('ports.row'), class: 'main', cell: (r) => h('code', {}, r.id) }, { label: t('ports.port'), cell: (r) => r.port },
      { label: t('ports.transport'), cell: (r) => [r.transports.join(', '), r.tls.join() === 'none' ? '' : ` (${r.tls.join(', ')})`] },
      { label: t('ports.state'), cell: (r) => badge(states[r.state], t(`ports.${r.state}`)) },
      { label: t('ports.by'), cell: (r) => r.served_by.join(', ') }, { label: t('ports.listening'), cell: (r) => (r.listening ?? []).join(', ') },
      { label: t('ports.purpose'), cell: (r) => r.purpose }] }));
  }
  box.addEventListener('input', draw);
  state.addEventListener('change', draw);
  draw();
  return section(t('ports.plan'), h('p', { class: 'hint' }, t('ports.count', { all: all.length, served: count('served'), client: count('client side'), not: count('not yet') })),
    h('details', {}, h('summary', {}, t('ports.show')), h('div', { class: 'tools' }, box, state), results));
}

async function editor() {
  let { value: { text }, tag } = await getWith('/topology');
  const full = may('administrator');
  const error = errorBox();
  const result = h('div', { 'aria-live': 'polite' });
  const area = h('textarea', { name: 'text', class: 'code', rows: 24, spellcheck: 'false', autocapitalize: 'none', wrap: 'off', readOnly: !full, value: text });
  const apply = (dry) => busy(async () => {
    error.clear();
    fill(result);
    try {
      if (!dry && !await confirmed(t('topology.ask'), t('topology.apply'))) return;
      const { value } = await change('PUT', `/topology${dry ? '?dry-run=1' : ''}`, { text: area.value }, tag);
      fill(result, changeList(value));
      if (dry) return;
      forget('topology');
      done(t('topology.applied'));
      ({ value: { text }, tag } = await getWith('/topology'));
    } catch (e) {
      error.show(e);
      if (e.status === 412) error.show(e, h('p', {}, t('topology.changed')), h('button', { type: 'button', onclick: busy(async () => { ({ tag } = await getWith('/topology')); error.clear(); }) }, t('topology.mine')));
    }
  });
  const form = h('form', { onsubmit: (e) => e.preventDefault() }, field(t('topology.text'), area, t('topology.texthint')), error.el, result,
    full && h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: apply(true) }, t('topology.check')), h('button', { type: 'button', class: 'primary', onclick: apply(false) }, t('topology.apply'))));
  const back = keep('topology', form);
  if (back) done(t('draft.back'));
  return h('details', { class: 'panel', open: back }, h('summary', {}, h('h2', {}, t('topology.file'))), form);
}
