// One tab: a database in IndexedDB, and a worker that syncs it, as the packages' own documentation sets them up.
import initWasm from '@vlcn.io/crsqlite-wasm';
import tblrx from '@vlcn.io/rx-tbl';
import { WorkerInterface } from '@vlcn.io/ws-client';

let database, changes, worker, name;
window.peer = {
  async open(options) {
    name = options.name;
    database = await (await initWasm(() => '/crsqlite.wasm')).open(name);
    await database.automigrateTo(options.schemaName, options.schema);
    changes = tblrx(database);
    document.title = `${name}: ${database.siteid}`;
    return database.siteid.replaceAll('-', '');
  },
  async sync({ url, room, token }) {
    worker ??= new WorkerInterface(new Worker('/worker.js', { type: 'module' }));
    worker.startSync(name, { url, room, authToken: token ?? undefined });
  },
  async stop() {
    worker.stopSync(name);
  },
  async run({ sql }) {
    await database.exec(sql);
  },
  async query({ sql }) {
    const cell = value => {
      if (typeof value === 'bigint') return { integer: String(value) };
      if (!(value instanceof Uint8Array)) return value;
      return { blob: Array.from(value, byte => byte.toString(16).padStart(2, '0')).join('') };
    };
    return (await database.execA(sql)).map(row => row.map(cell));
  },
  async migrate({ schemaName, schema }) {
    await database.automigrateTo(schemaName, schema);
  },
};
