// Peers as an app has them, in Node: @vlcn.io/crsqlite-wasm, @vlcn.io/ws-client and @vlcn.io/ws-browserdb, unchanged.
//   open {name, schemaName, schema}          a database with this schema; answers its site id in hexadecimal
//   sync {name, url, room, token?}           starts syncing, as an app does; stop {name} ends it, the database stays open
//   run {name, sql}                          runs statements; query {name, sql} answers the rows
//   migrate {name, schemaName, schema}       takes a newer schema
import fs from 'node:fs';
import { cell, serve } from './lines.mjs';
import './surroundings.mjs';

const { default: initWasm } = await import('@vlcn.io/crsqlite-wasm');
const { createSyncedDB, defaultConfig } = await import('@vlcn.io/ws-client');
const { createDbProvider } = await import('@vlcn.io/ws-browserdb');
const { default: tblrx } = await import('@vlcn.io/rx-tbl');

const wasm = fs.readFileSync(new URL('crsqlite.wasm', import.meta.resolve('@vlcn.io/crsqlite-wasm')));
const wasmUrl = `data:application/wasm;base64,${wasm.toString('base64')}`;
const config = { dbProvider: createDbProvider(wasmUrl), transportProvider: defaultConfig.transportProvider };
const sqlite = await initWasm(() => wasmUrl);

const peers = new Map();
function peer(name) {
  if (!peers.has(name)) throw new Error(`there is no peer ${name}`);
  return peers.get(name);
}

serve({
  async open({ name, schemaName, schema }) {
    const database = await sqlite.open(name);
    await database.automigrateTo(schemaName, schema);
    // Tells the connection that syncs about this connection's writes.
    peers.set(name, { database, changes: tblrx(database), syncing: null });
    return database.siteid.replaceAll('-', '');
  },
  async sync({ name, url, room, token }) {
    const opened = peer(name);
    if (opened.syncing) throw new Error(`${name} is syncing`);
    opened.syncing = await createSyncedDB(config, name, { url, room, authToken: token ?? undefined });
    await opened.syncing.start();
  },
  stop({ name }) {
    peer(name).syncing?.stop();
    peer(name).syncing = null;
  },
  async run({ name, sql }) {
    await peer(name).database.exec(sql);
  },
  async query({ name, sql }) {
    return (await peer(name).database.execA(sql)).map(row => row.map(cell));
  },
  async migrate({ name, schemaName, schema }) {
    await peer(name).database.automigrateTo(schemaName, schema);
  },
});
