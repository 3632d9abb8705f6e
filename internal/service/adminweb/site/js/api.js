// The administration interface, as the command line uses it, and the session of this browser.

/** A refusal of the server, with its own sentence as the message. */
export class Refusal extends Error {
  constructor(status, { id, message } = {}) {
    super(message || `HTTP ${status}`);
    this.id = id ?? '';
    this.status = status;
  }
}

let askAgain = () => Promise.reject(new Error('nobody can sign in here'));

/** Sets what is done when the session has ended: it resolves once somebody is signed in again. */
export function whenSignedOut(f) { askAgain = f; }

async function send(path, options) {
  const answer = await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...options });
  if (answer.ok) return answer;
  let problem;
  try { problem = await answer.json(); } catch { /* not from the interface: the status has to do */ }
  throw new Refusal(answer.status, problem);
}

const ranks = ['', 'viewer', 'helpdesk', 'administrator'];

export const session = {
  me: undefined,
  /** Who is signed in, undefined for nobody. */
  async current() {
    try {
      session.me = await (await send('session')).json();
    } catch (e) {
      if (e.status !== 401) throw e;
      session.me = undefined;
    }
    return session.me;
  },
  async begin(user, password) {
    session.me = await (await send('session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ user, password }) })).json();
    return session.me;
  },
  async end() { await send('session', { method: 'DELETE' }); session.me = undefined; },
};

/** Whether the one who is signed in has a role. The server decides; this hides what would be refused. */
export const may = (role) => ranks.indexOf(session.me?.role ?? '') >= ranks.indexOf(role);

/** Does a request. When the session has ended, it waits until somebody has signed in again, and goes on. */
async function call(path, options) {
  for (;;) {
    try {
      return await send(`api/v1${path}`, options);
    } catch (e) {
      if (e.status !== 401) throw e;
      await askAgain();
    }
  }
}

const quiet = { 'Parley-Refresh': '1' };

/** Reads a resource. background: nobody asked, the page refreshes itself. */
export async function get(path, { background, signal } = {}) {
  return (await (await call(path, { headers: background ? quiet : {}, signal })).json());
}

/** Reads a resource with its entity tag, or with how many there are. */
export async function getWith(path) {
  const answer = await call(path, {});
  return { value: await answer.json(), tag: answer.headers.get('ETag'), total: Number(answer.headers.get('Parley-Total')) };
}

/** Changes a resource; tag is what the change is based on, "*" with PUT for what must not be there yet. */
export async function change(method, path, body, tag) {
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (tag) headers[method === 'PUT' && tag === '*' ? 'If-None-Match' : 'If-Match'] = tag;
  const answer = await call(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return { value: answer.headers.get('Content-Type')?.startsWith('application/json') ? await answer.json() : undefined, tag: answer.headers.get('ETag') };
}

/** Reads an answer of one object a line until it ends or the signal says so. */
export async function lines(path, signal, each) {
  const answer = await call(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const p of parts) if (p) each(JSON.parse(p));
  }
}
