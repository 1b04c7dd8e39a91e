// Syncs the database beside the page, and tells the page how the connection is.
import { defaultConfig } from '@vlcn.io/ws-client';
import { start } from '@vlcn.io/ws-client/worker.js';
import { createDbProvider } from '@vlcn.io/ws-browserdb';
import wasmUrl from '@vlcn.io/crsqlite-wasm/crsqlite.wasm?url';

// The client opens its sockets by this name and says nothing about them, so we look at them as they come.
self.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options);
    self.postMessage({ connection: 'connecting' });
    // The server has let us in when it has told us something; an open socket alone says little.
    this.addEventListener('message', () => self.postMessage({ connection: 'live' }), { once: true });
    this.addEventListener('close', () => self.postMessage({ connection: 'offline' }));
  }
};

start({ dbProvider: createDbProvider(wasmUrl), transportProvider: defaultConfig.transportProvider });
