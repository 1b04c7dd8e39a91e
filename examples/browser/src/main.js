import { openDatabase } from './database.js';

// Each tab is somebody of its own: its database and its name last as long as the tab, reloads included.
const asked = new URLSearchParams(location.search);
function remembered(key, make) {
  const value = asked.get(key) ?? sessionStorage.getItem(key) ?? make();
  sessionStorage.setItem(key, value);
  return value;
}
const oneOf = list => list[Math.floor(Math.random() * list.length)];
const me = {
  id: remembered('id', () => crypto.randomUUID()),
  name: remembered('name', () => oneOf(['Ada', 'Ben', 'Chloé', 'Dario', 'Edda', 'Finn', 'Grace', 'Hana', 'Ivo', 'Jun'])),
  color: remembered('color', () => oneOf(['#c2571a', '#2f7d5b', '#3f62b5', '#8a4fae', '#b23a5e', '#8a6d10'])),
};

const { database, onChange, onConnection, isWanted, goOnline, goOffline } = await openDatabase(`list-${me.id}`, {
  url: asked.get('server') ?? 'ws://127.0.0.1:7448/sync',
  room: asked.get('room') ?? 'list',
  token: asked.get('token') ?? undefined,
});

const at = id => document.getElementById(id);
const element = (tag, properties, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

await database.exec('INSERT OR IGNORE INTO person (id, name, color) VALUES (?, ?, ?)', [me.id, me.name, me.color]);

const shown = new Map();
function newRow(id) {
  const tick = element('input', { type: 'checkbox', ariaLabel: 'Done' });
  const title = element('input', { className: 'title', ariaLabel: 'Title', maxLength: 200 });
  const author = element('span', { className: 'dot' });
  const remove = element('button', { type: 'button', className: 'remove', ariaLabel: 'Remove', textContent: '×' });
  tick.onchange = () => database.exec('UPDATE item SET done = ? WHERE id = ?', [Number(tick.checked), id]);
  title.onchange = () => database.exec('UPDATE item SET title = ? WHERE id = ?', [title.value.trim(), id]);
  title.onkeydown = event => event.key === 'Enter' && title.blur();
  remove.onclick = () => database.exec('DELETE FROM item WHERE id = ?', [id]);
  return { line: element('li', {}, tick, title, author, remove), tick, title, author };
}

// Brings the page to what the database says; a field that somebody types in is left alone.
async function show() {
  const items = await database.execO(
    `SELECT item.id, title, done, name, color FROM item LEFT JOIN person ON person.id = author
     ORDER BY done, created, item.id`,
  );
  const gone = new Set(shown.keys());
  let before = at('items').firstElementChild;
  for (const item of items) {
    gone.delete(item.id);
    if (!shown.has(item.id)) shown.set(item.id, newRow(item.id));
    const { line, tick, title, author } = shown.get(item.id);
    tick.checked = item.done !== 0;
    line.classList.toggle('done', item.done !== 0);
    if (document.activeElement !== title) title.value = item.title;
    author.style.background = item.color ?? '#888';
    author.title = item.name ?? 'somebody';
    if (line === before) before = before.nextElementSibling;
    else at('items').insertBefore(line, before);
  }
  for (const id of gone) {
    shown.get(id).line.remove();
    shown.delete(id);
  }
  const done = items.filter(item => item.done !== 0).length;
  at('progress').textContent = items.length === 0 ? 'Nothing on it yet' : `${done} of ${items.length} packed`;

  const people = await database.execO('SELECT id, name, color FROM person ORDER BY id = ? DESC, name, id', [me.id]);
  at('people').replaceChildren(...people.map(person => {
    const initial = [...person.name][0]?.toUpperCase() ?? '?';
    const face = element('span', { className: 'face', title: person.name, textContent: initial });
    face.style.background = person.color;
    return face;
  }));
  const mine = people.find(person => person.id === me.id);
  if (document.activeElement !== at('name')) at('name').value = mine?.name ?? me.name;
}

// One after the other: a change during a query is seen by the next.
let showing = Promise.resolve();
const showNext = () => (showing = showing.then(show).catch(error => console.error(error)));
onChange(['item', 'person'], showNext);

at('add').onsubmit = async event => {
  event.preventDefault();
  const title = at('title').value.trim();
  if (title === '') return;
  at('title').value = '';
  await database.exec('INSERT INTO item (id, title, author, created) VALUES (?, ?, ?, ?)', [
    crypto.randomUUID(), title, me.id, Date.now(),
  ]);
};
at('name').onchange = async () => {
  const name = at('name').value.trim() || me.name;
  sessionStorage.setItem('name', name);
  await database.exec('UPDATE person SET name = ? WHERE id = ?', [name, me.id]);
};
at('name').onkeydown = event => event.key === 'Enter' && at('name').blur();

const words = { connecting: 'Connecting …', live: 'Live', offline: 'Offline, edits are kept' };
function showConnection(state) {
  at('connection').dataset.state = state;
  at('connection').textContent = words[state];
}
onConnection(state => showConnection(isWanted() ? state : 'offline'));
at('connection').onclick = () => {
  if (isWanted()) {
    goOffline();
    showConnection('offline');
  } else {
    goOnline();
    showConnection('connecting');
  }
};
showConnection('connecting');
goOnline();
await showNext();
document.querySelector('main').inert = false;
