// The original server: node original_server.mjs PORT ROOMS SCHEMAS [LATENCY]
// ROOMS is a folder, or "memory". Prints a line when it listens; ends when its input does.
import fs from 'node:fs';
import http from 'node:http';
import { attachWebsocketServer } from '@vlcn.io/ws-server';
import { logger } from '@vlcn.io/logger-provider';

const [port, rooms, schemas, latency] = process.argv.slice(2);
for (const transport of logger.transports) transport.silent = true;
if (rooms !== 'memory') fs.mkdirSync(rooms, { recursive: true });

const server = http.createServer((_, response) => response.writeHead(404).end());
attachWebsocketServer(server, {
  dbFolder: rooms === 'memory' ? null : rooms,
  schemaFolder: schemas,
  pathPattern: /\/sync/,
  appName: 'rejoin-conformance',
  notifyLatencyMs: Number(latency ?? 50),
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on 127.0.0.1:${server.address().port}`));
process.stdin.resume().on('end', () => process.exit(0));
