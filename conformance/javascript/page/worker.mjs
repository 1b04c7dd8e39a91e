import { defaultConfig } from '@vlcn.io/ws-client';
import { start } from '@vlcn.io/ws-client/worker.js';
import { createDbProvider } from '@vlcn.io/ws-browserdb';

start({ dbProvider: createDbProvider('/crsqlite.wasm'), transportProvider: defaultConfig.transportProvider });
