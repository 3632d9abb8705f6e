// Who is signed in and who talks, as it is now.

import { h, fill } from './dom.js';
import { t } from './i18n.js';
import { get, may } from './api.js';
import { ago, badge, check, errorBox, number, refreshing, section, table } from './parts.js';

export async function page() {
  const error = errorBox();
  const box = h('input', { type: 'search', placeholder: t('live.search'), 'aria-label': t('live.search'), oninput: () => draw() });
  const pause = h('input', {});
  const body = h('div', {});
  let seen = { registrations: [], calls: [] };
  const trace = (what, text) => (may('helpdesk') ? h('a', { href: `#/trace/${encodeURIComponent(what)}` }, text) : text);
  const name = (uri) => uri.replace(/^<?sips?:/, '').replace(/[>;].*$/, '');

  function draw() {
    const text = box.value.toLowerCase();
    const has = (x) => !text || JSON.stringify(x).toLowerCase().includes(text);
    const { registrations, calls } = seen;
    fill(body,
      section(t('live.calls', { n: number(calls.length) }), table({ caption: t('count.calls'), rows: calls.filter(has).slice(0, 500), empty: t('live.nocalls'), columns: [
        { label: t('live.from'), class: 'main', cell: (c) => name(c.from) }, { label: t('live.to'), cell: (c) => name(c.to) },
        { label: t('user.state'), cell: (c) => badge(c.state === 'talking' ? 'good' : 'soon', t(`call.${c.state}`)) },
        { label: t('live.since'), cell: (c) => ago(c.answered ?? c.started) }, { label: 'Call-ID', cell: (c) => trace(`call:${c.call_id}`, h('code', {}, c.call_id)) }] })),
      section(t('live.registrations', { n: number(registrations.length) }), table({ caption: t('count.registrations'), rows: registrations.filter(has).slice(0, 500), empty: t('live.nobody'), columns: [
        { label: t('live.user'), class: 'main', cell: (r) => trace(r.user, r.user) }, { label: t('live.program'), cell: (r) => r.user_agent ?? '' },
        { label: t('live.remote'), cell: (r) => [r.transport, ' ', r.remote && h('code', {}, r.remote)] }, { label: t('live.node'), cell: (r) => r.node ?? '' },
        { label: t('live.expires'), cell: (r) => ago(r.expires) }] })));
  }

  const { begun, stop } = refreshing(5, async (background) => {
    if (background && pause.checked) return;
    try {
      const [registrations, calls] = await Promise.all([get('/registrations', { background }), get('/calls', { background })]);
      seen = { registrations, calls };
      error.clear();
      draw();
    } catch (e) { error.show(e); }
  });
  await begun;
  return { title: t('nav.live'), el: h('div', {}, error.el, h('div', { class: 'tools' }, box, check(t('live.pause'), pause)), body), stop };
}
