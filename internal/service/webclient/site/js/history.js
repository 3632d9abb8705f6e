// What this device remembers of an account: messages, drafts, calls. Nothing of it is on the server.

const ask = (r) => new Promise((resolve, reject) => { r.onsuccess = () => resolve(r.result); r.onerror = () => reject(r.error); });

const fresh = () => ({ messages: [], calls: [], drafts: new Map(), marks: new Map() });

/** The memory of one account, in IndexedDB. In private windows without one it lasts as long as the page. */
export class History {
  #db; #aor; #memory = fresh();

  static async open(aor) {
    const it = new History();
    it.#aor = aor;
    try {
      const r = indexedDB.open(`parley:${aor}`, 2);
      r.onupgradeneeded = ({ oldVersion }) => {
        if (oldVersion < 1) {
          r.result.createObjectStore('messages', { keyPath: 'id' }).createIndex('at', 'at');
          r.result.createObjectStore('calls', { keyPath: 'id' }).createIndex('at', 'at');
          r.result.createObjectStore('drafts', { keyPath: 'peer' });
        }
        r.result.createObjectStore('marks', { keyPath: 'name' });
      };
      it.#db = await ask(r);
    } catch { /* without */ }
    return it;
  }

  #store(name, mode) { return this.#db.transaction(name, mode).objectStore(name); }

  /** Keeps a message or a call; one with the same id is replaced. */
  async keep(kind, value) {
    if (this.#db) return ask(this.#store(kind, 'readwrite').put(value));
    const list = this.#memory[kind];
    const i = list.findIndex((v) => v.id === value.id);
    if (i < 0) list.push(value); else list[i] = value;
  }

  /** All messages or calls, the oldest first. */
  async all(kind) {
    return this.#db ? ask(this.#store(kind).index('at').getAll()) : [...this.#memory[kind]];
  }

  /** Keeps what was typed and not sent. */
  async draft(peer, text) {
    if (!this.#db) return void this.#memory.drafts.set(peer, text);
    const s = this.#store('drafts', 'readwrite');
    return ask(text ? s.put({ peer, text }) : s.delete(peer));
  }

  async drafts() {
    return this.#db ? new Map((await ask(this.#store('drafts').getAll())).map((d) => [d.peer, d.text])) : this.#memory.drafts;
  }

  /** Keeps until when something has been seen: the calls, or what somebody wrote. */
  async mark(name, at) {
    if (!this.#db) return void this.#memory.marks.set(name, at);
    return ask(this.#store('marks', 'readwrite').put({ name, at }));
  }

  async marks() {
    return this.#db ? new Map((await ask(this.#store('marks').getAll())).map((m) => [m.name, m.at])) : this.#memory.marks;
  }

  /** Forgets everything of this account. */
  async clear() {
    this.#memory = fresh();
    if (this.#db) for (const name of ['messages', 'calls', 'drafts', 'marks']) await ask(this.#store(name, 'readwrite').clear());
  }

  close() { this.#db?.close(); }
}
