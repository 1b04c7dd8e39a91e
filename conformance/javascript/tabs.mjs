// Tabs of a real Chromium. Two kinds:
//   peers, with the operations of peers.mjs: open, sync, stop, run, query, migrate; reload {name} loads the page again
//   any page: visit {name, folder, query} shows a folder's files; click, fill, press {name, selector, …}; texts {name,
//   selector} answers the text of each element; picture {name, path, width, height} writes a PNG
import { build } from 'esbuild';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { serve } from './lines.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const bundle = await build({
  entryPoints: ['app', 'worker'].map(part => path.join(here, 'page', `${part}.mjs`)),
  bundle: true, format: 'esm', write: false, outdir: '/', logLevel: 'error',
});
// The app and its worker have a connection each to one file in IndexedDB. As the package sets it up, a connection lets its lock go
// before IndexedDB has all that was written under it. A transaction of IndexedDB that is older than 5 s is replaced by another, and
// between the two, on a machine that is busy, the other connection reads pages of two states and calls the file malformed. (With
// 1 ms in place of 5 s it does so within seconds.) Here a commit waits for IndexedDB; nothing else of the packages is touched.
function waiting({ path, text }) {
  const [before, after, ...rest] = text.split('durability: "relaxed"');
  if (after === undefined || rest.length > 0) throw new Error(`${path} does not say once how durable a commit is`);
  return `${before}durability: "default"${after}`;
}
const ownFiles = new Map(bundle.outputFiles.map(file => [`/${path.basename(file.path)}`, Buffer.from(waiting(file))]));
ownFiles.set('/', Buffer.from('<!doctype html><meta charset="utf-8"><script type="module" src="/app.js"></script>'));
ownFiles.set('/crsqlite.wasm', fs.readFileSync(new URL('crsqlite.wasm', import.meta.resolve('@vlcn.io/crsqlite-wasm'))));

const kinds = { '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm', '.svg': 'image/svg+xml' };
async function show(files) {
  const server = http.createServer((request, response) => {
    const wanted = new URL(request.url, 'http://localhost').pathname;
    const content = files(wanted);
    if (content === undefined) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': kinds[path.extname(wanted)] ?? 'text/html' }).end(content);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}`;
}
const peerOrigin = await show(wanted => ownFiles.get(wanted));
const folderOrigins = new Map();
async function folderOrigin(folder) {
  if (!folderOrigins.has(folder)) {
    folderOrigins.set(folder, await show(wanted => {
      const file = path.join(folder, path.normalize(wanted === '/' ? '/index.html' : wanted));
      return fs.existsSync(file) ? fs.readFileSync(file) : undefined;
    }));
  }
  return folderOrigins.get(folder);
}

const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'rejoin-chromium-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update'],
});
browser.setDefaultTimeout(30_000);

const tabs = new Map();
function tab(name) {
  if (!tabs.has(name)) throw new Error(`there is no tab ${name}`);
  return tabs.get(name);
}
async function newTab(name, url) {
  const page = await browser.newPage();
  page.on('console', message => console.error(`${name}: ${message.text()}`));
  page.on('pageerror', error => console.error(`${name}: ${error.message}`));
  tabs.set(name, page);
  await page.goto(url);
  return page;
}
const inPage = operation => request =>
  tab(request.name).evaluate(([operation, request]) => window.peer[operation](request), [operation, request]);
const ready = page => page.waitForFunction(() => window.peer !== undefined);

serve({
  async open(request) {
    if (!tabs.has(request.name)) await ready(await newTab(request.name, peerOrigin));
    return inPage('open')(request);
  },
  sync: inPage('sync'),
  stop: inPage('stop'),
  run: inPage('run'),
  query: inPage('query'),
  migrate: inPage('migrate'),
  async reload({ name }) {
    await tab(name).reload();
    await ready(tab(name));
  },
  async visit({ name, folder, query }) {
    await newTab(name, `${await folderOrigin(folder)}/?${query}`);
  },
  click: ({ name, selector }) => tab(name).click(selector),
  fill: ({ name, selector, text }) => tab(name).fill(selector, text),
  press: ({ name, selector, key }) => tab(name).press(selector, key),
  texts: ({ name, selector }) => tab(name).$$eval(selector, found => found.map(element => element.innerText.trim())),
  async picture({ name, path, width, height }) {
    await tab(name).setViewportSize({ width, height });
    await tab(name).screenshot({ path });
  },
  async close() {
    await browser.close();
    fs.rmSync(profile, { recursive: true, force: true });
  },
});
