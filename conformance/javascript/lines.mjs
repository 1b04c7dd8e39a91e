// Requests and answers as lines of JSON: {"id": 1, "op": "name", …} in, {"id": 1, "ok": …} or {"id": 1, "error": "…"} out.
// Standard output belongs to the answers; whatever packages print goes to standard error.
import readline from 'node:readline';

const answer = console.log.bind(console);
for (const name of ['log', 'info', 'debug']) console[name] = console.error.bind(console);

// The packages throw from event handlers where they mean to refuse a message; a page would go on, and so do we.
process.on('uncaughtException', error => console.error('uncaught:', error));
process.on('unhandledRejection', error => console.error('unhandled:', error));

export function serve(operations) {
  let last = Promise.resolve();
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', line => {
    last = last.then(async () => {
      const { id, op, ...rest } = JSON.parse(line);
      try {
        if (!Object.hasOwn(operations, op)) throw new Error(`there is no operation ${op}`);
        answer(JSON.stringify({ id, ok: (await operations[op](rest)) ?? null }));
      } catch (error) {
        answer(JSON.stringify({ id, error: String(error?.stack ?? error) }));
      }
    });
  });
  // Whoever started this is gone when the input ends.
  lines.on('close', () => last.then(() => (operations.close ? operations.close() : null)).finally(() => process.exit(0)));
  answer(JSON.stringify({ id: 0, ok: 'ready' }));
}

// A cell of an answer: what JSON cannot hold is an object with one field.
export function cell(value) {
  if (typeof value === 'bigint') return { integer: String(value) };
  if (value instanceof Uint8Array) return { blob: Buffer.from(value).toString('hex') };
  return value;
}
