// Certificates and when they end.

import { h } from './dom.js';
import { t } from './i18n.js';
import { get } from './api.js';
import { ago, badge, day, facts } from './parts.js';

export async function page() {
  const all = await get('/certificates');
  return {
    title: t('nav.certificates'),
    el: h('div', { class: 'cards' }, all.map((c) => h('section', { class: 'panel' },
      h('h2', {}, c.subject || c.names[0] || c.serial), h('p', {}, badge(c.state === 'good' ? 'good' : c.state === 'soon' ? 'soon' : 'bad', t(`cert.${c.state}`)), ' ', badge('plain', t(`cert.use.${c.use}`))),
      facts([
        [t('cert.until'), h('span', {}, day(c.not_after), ` (${ago(c.not_after)})`)], [t('cert.from'), day(c.not_before)],
        [t('cert.renewal'), t(c.renewed ? 'cert.renewed' : c.use === 'node' || c.use === 'site' ? 'cert.byhand' : 'cert.authority')],
        [t('cert.issuer'), c.issuer], c.names.length > 0 && [t('cert.names'), h('ul', {}, c.names.map((n) => h('li', {}, n)))],
        [t('cert.serial'), h('code', {}, c.serial)]])))),
  };
}
