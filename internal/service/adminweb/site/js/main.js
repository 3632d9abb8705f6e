// Begins: texts, who is signed in, and then the pages.

import { loadTexts, t } from './i18n.js';
import { session } from './api.js';
import { signInPage } from './signin.js';
import { shell } from './shell.js';

await loadTexts();
document.title = t('app.title');
const app = document.getElementById('app');
for (;;) {
  const me = (await session.current()) ?? (await signInPage(app));
  await shell(app, me);
}
