// What a browser has and Node has not, as far as the packages need it: IndexedDB, WebSocket and navigator.locks.
import 'fake-indexeddb/auto';
import WebSocket from 'ws';

// wa-sqlite hands over a DOMStringList, which the replacement does not take.
const transaction = IDBDatabase.prototype.transaction;
IDBDatabase.prototype.transaction = function (names, ...rest) {
  return transaction.call(this, typeof names === 'string' ? names : Array.from(names), ...rest);
};

// A browser's socket that fails tells whoever listens, and is closed; this one throws first when nobody does.
globalThis.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options);
    this.on('error', error => console.error(error.message));
  }
};

class Locks {
  #names = new Map();

  #queue(name) {
    if (!this.#names.has(name)) this.#names.set(name, { held: [], waiting: [] });
    return this.#names.get(name);
  }

  request(name, options, callback) {
    if (typeof options === 'function') [options, callback] = [{}, options];
    const mode = options.mode ?? 'exclusive';
    const queue = this.#queue(name);
    const fits = () => queue.held.length === 0 || (mode === 'shared' && queue.held.every(lock => lock.mode === 'shared'));
    const isFree = () => queue.waiting.length === 0 && fits();
    if (options.ifAvailable && !isFree()) return Promise.resolve(callback(null));
    return new Promise((resolve, reject) => {
      const request = { fits, enter };
      async function enter() {
        const lock = { name, mode };
        queue.held.push(lock);
        try {
          resolve(await callback(lock));
        } catch (error) {
          reject(error);
        } finally {
          queue.held.splice(queue.held.indexOf(lock), 1);
          while (queue.waiting.length > 0 && queue.waiting[0].fits()) queue.waiting.shift().enter();
        }
      }
      options.signal?.addEventListener('abort', () => {
        const at = queue.waiting.indexOf(request);
        if (at < 0) return;
        queue.waiting.splice(at, 1);
        reject(new DOMException('the request was given up', 'AbortError'));
      });
      if (isFree()) enter();
      else queue.waiting.push(request);
    });
  }

  async query() {
    const show = lock => ({ name: lock.name, mode: lock.mode });
    return { held: [...this.#names.values()].flatMap(queue => queue.held.map(show)), pending: [] };
  }
}

if (!globalThis.navigator) globalThis.navigator = {};
if (!globalThis.navigator.locks) {
  Object.defineProperty(globalThis.navigator, 'locks', { value: new Locks(), configurable: true });
}
