// Begins: texts, sign-in, and then the client.

import { loadTexts } from './i18n.js';
import { showSignIn, resume } from './signin.js';
import { showShell } from './shell.js';

await loadTexts();
const app = document.getElementById('app');

async function run() {
  const agent = (await resume(app)) ?? (await showSignIn(app));
  await showShell(app, agent);
  location.hash = '';
  run();
}
run();

navigator.serviceWorker?.register('sw.js').catch(() => {}); // certificates that are not trusted allow none
