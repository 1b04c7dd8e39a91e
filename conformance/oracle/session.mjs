// The original cr-sqlite 0.16.0, as its authors published it for browsers, driven over lines of JSON.
//
//   node session.mjs FOLDER         FOLDER holds node_modules with @vlcn.io/crsqlite-wasm
//
// Requests and answers are those of session.py. Files live in this process's memory; `import` and `export` carry them
// from and to the disk. Several connections to one file lock each other out as on a disk.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const modules = path.join(path.resolve(process.argv[2]), "node_modules", "@vlcn.io");
const load = (...names) => import(pathToFileURL(path.join(modules, ...names)));
const { default: instantiate } = await load("crsqlite-wasm", "dist", "crsqlite.mjs");
const SQLite = await load("wa-sqlite", "src", "sqlite-api.js");
const { MemoryVFS } = await load("wa-sqlite", "src", "examples", "MemoryVFS.js");

const LOCK = { none: 0, shared: 1, reserved: 2, pending: 3, exclusive: 4 };

// What the library's own files in memory lack: locks.
class LockingFiles extends MemoryVFS {
  name = "locking-files";
  levels = new Map();

  xOpen(name, id, flags, out) {
    this.levels.set(id, LOCK.none);
    return super.xOpen(name, id, flags, out);
  }

  xClose(id) {
    this.levels.delete(id);
    return super.xClose(id);
  }

  highestOfOthers(id) {
    const file = this.mapIdToFile.get(id);
    let highest = LOCK.none;
    for (const [other, level] of this.levels) {
      if (other !== id && this.mapIdToFile.get(other) === file) highest = Math.max(highest, level);
    }
    return highest;
  }

  xLock(id, level) {
    const others = this.highestOfOthers(id);
    if (this.levels.get(id) >= level) return SQLite.SQLITE_OK;
    if (others >= (level === LOCK.shared ? LOCK.pending : LOCK.reserved)) return SQLite.SQLITE_BUSY;
    if (level === LOCK.exclusive && others >= LOCK.shared) {
      this.levels.set(id, LOCK.pending);
      return SQLite.SQLITE_BUSY;
    }
    this.levels.set(id, level);
    return SQLite.SQLITE_OK;
  }

  xUnlock(id, level) {
    this.levels.set(id, Math.min(this.levels.get(id), level));
    return SQLite.SQLITE_OK;
  }

  xCheckReservedLock(id, out) {
    const reserved = Math.max(this.highestOfOthers(id), this.levels.get(id)) >= LOCK.reserved;
    out.setInt32(0, reserved ? 1 : 0, true);
    return SQLite.SQLITE_OK;
  }
}

const wasmBinary = fs.readFileSync(path.join(modules, "crsqlite-wasm", "dist", "crsqlite.wasm"));
const library = await instantiate({ wasmBinary });
const sqlite = SQLite.Factory(library);
// The library's own function binds an empty blob as NULL: it has no address.
const bindBlob = library.cwrap("sqlite3_bind_blob", "number", Array(5).fill("number"));
const someAddress = library._malloc(8);
const files = new LockingFiles();
sqlite.vfs_register(files);
const connections = new Map();

async function connect(database) {
  return sqlite.open_v2(database, SQLite.SQLITE_OPEN_CREATE | SQLite.SQLITE_OPEN_READWRITE, files.name);
}

async function disconnect(db) {
  await rowsOf(db, "SELECT crsql_finalize()", []);
  await sqlite.close(db);
}

function bind(statement, place, value) {
  if (value === null) return sqlite.bind_null(statement, place);
  if ("i" in value) return sqlite.bind_int64(statement, place, BigInt(value.i));
  if ("r" in value) return sqlite.bind_double(statement, place, Buffer.from(value.r, "hex").readDoubleBE(0));
  if (value.b === "") return bindBlob(statement, place, someAddress, 0, 0);
  if ("b" in value) return sqlite.bind_blob(statement, place, new Uint8Array(Buffer.from(value.b, "hex")));
  return sqlite.bind_text(statement, place, value.t);
}

function column(statement, place) {
  switch (sqlite.column_type(statement, place)) {
    case SQLite.SQLITE_INTEGER:
      return { i: String(sqlite.column_int64(statement, place)) };
    case SQLite.SQLITE_FLOAT: {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(sqlite.column_double(statement, place));
      return { r: bytes.toString("hex") };
    }
    case SQLite.SQLITE_TEXT:
      return { t: sqlite.column_text(statement, place) };
    case SQLite.SQLITE_BLOB:
      return { b: Buffer.from(sqlite.column_blob(statement, place)).toString("hex") };
    default:
      return null;
  }
}

async function rowsOf(db, sql, parameters) {
  const rows = [];
  for await (const statement of sqlite.statements(db, sql)) {
    parameters.forEach((value, place) => bind(statement, place + 1, value));
    while ((await sqlite.step(statement)) === SQLite.SQLITE_ROW) {
      rows.push(Array.from({ length: sqlite.column_count(statement) }, (_, place) => column(statement, place)));
    }
  }
  return rows;
}

const operations = {
  async open({ connection, database, site_id: siteId }) {
    const isNew = !files.mapNameToFile.has(database);
    let db = await connect(database);
    if (isNew && siteId) {
      // A connection remembers the id with which it was opened.
      const sql = "UPDATE crsql_site_id SET site_id = ? WHERE ordinal = 0";
      await rowsOf(db, sql, [{ b: siteId }]);
      await disconnect(db);
      db = await connect(database);
    }
    connections.set(connection, db);
  },
  async run({ connection, statements }) {
    const db = connections.get(connection);
    const answers = [];
    for (const [sql, parameters] of statements) {
      try {
        answers.push({ rows: await rowsOf(db, sql, parameters) });
      } catch (error) {
        answers.push({ error: String(error?.message ?? error) });
      }
    }
    return { answers, in_transaction: !sqlite.get_autocommit(db) };
  },
  async close({ connection }) {
    await disconnect(connections.get(connection));
    connections.delete(connection);
  },
  async forget({ database }) {
    files.mapNameToFile.delete(database);
  },
  async export({ database, path: target }) {
    const file = files.mapNameToFile.get(database);
    fs.writeFileSync(target, new Uint8Array(file.data, 0, file.size));
  },
  async import({ database, path: source }) {
    const bytes = new Uint8Array(fs.readFileSync(source));
    const file = { name: database, flags: 0, size: bytes.byteLength, data: bytes.buffer };
    files.mapNameToFile.set(database, file);
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = (await operations[request.op](request)) ?? {};
  } catch (error) {
    answer = { failed: String(error?.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
