// The database in this tab: opened, brought to the schema, synced by the worker.
import initWasm from '@vlcn.io/crsqlite-wasm';
import wasmUrl from '@vlcn.io/crsqlite-wasm/crsqlite.wasm?url';
import tblrx from '@vlcn.io/rx-tbl';
import { WorkerInterface } from '@vlcn.io/ws-client';
import schema from '../schemas/list.sql?raw';

const SCHEMA_NAME = 'list.sql';

export async function openDatabase(name, { url, room, token }) {
  const sqlite = await initWasm(() => wasmUrl);
  const database = await sqlite.open(name);
  await database.automigrateTo(SCHEMA_NAME, schema);
  const changes = tblrx(database);

  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  const syncing = new WorkerInterface(worker);
  let isWanted = false;
  return {
    database,
    // Calls back after each change of these tables, made here or elsewhere.
    onChange: (tables, callback) => changes.onRange(tables, callback),
    onConnection: callback => worker.addEventListener('message', event => callback(event.data.connection)),
    isWanted: () => isWanted,
    goOnline() {
      isWanted = true;
      syncing.startSync(name, { url, room, authToken: token });
    },
    goOffline() {
      isWanted = false;
      syncing.stopSync(name);
    },
  };
}
