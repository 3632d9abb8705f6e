// Keeps the shell, so that the client opens without the server and can say so. What the server has comes first: after an
// upgrade nobody works with old pages.

const CACHE = 'shell';

self.addEventListener('install', (e) => {
  e.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(['./', ...(await (await fetch('offline.json')).json()).filter((n) => n !== 'sw.js' && n !== 'index.html')]);
    await self.skipWaiting();
  })());
});

self.addEventListener('activate', (e) => e.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (e) => {
  const url = new URL(e.request.url);
  if (e.request.method !== 'GET' || url.origin !== location.origin || !url.pathname.startsWith(new URL('./', location).pathname)) return;
  e.respondWith((async () => {
    const cache = await caches.open(CACHE);
    try {
      const r = await fetch(e.request);
      if (r.ok && !url.pathname.endsWith('/config.json')) await cache.put(e.request, r.clone());
      return r;
    } catch (err) {
      const kept = await cache.match(e.request, { ignoreSearch: true });
      if (kept) return kept;
      throw err;
    }
  })());
});

self.addEventListener('notificationclick', (e) => {
  e.notification.close();
  e.waitUntil((async () => {
    const [page] = await self.clients.matchAll({ type: 'window' });
    const to = `./#/chat/${encodeURIComponent(e.notification.data)}`;
    if (!page) return void await self.clients.openWindow(to);
    await page.focus();
    page.postMessage(e.notification.data);
    return undefined;
  })());
});
