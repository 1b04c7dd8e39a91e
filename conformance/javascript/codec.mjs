// The encoder and the decoder of @vlcn.io/ws-common.
//   {"op": "encode", "message": M} gives the bytes in hexadecimal; {"op": "decode", "bytes": "hex"} gives M.
// M holds the fields in the order of the wire: bytes as hexadecimal, 64-bit integers as decimal text, a point as
// [decimal text, number], a value as [kind] or [kind, content] with an f64 as the hexadecimal digits of its bits.
import { cryb64, decode, encode, tags } from '@vlcn.io/ws-common';
import { serve } from './lines.mjs';

const bytes = { of: hex => new Uint8Array(Buffer.from(hex, 'hex')), show: array => Buffer.from(array).toString('hex') };
const integer = { of: text => BigInt(text), show: String };
const plain = { of: x => x, show: x => x };
const point = { of: ([version, seq]) => [BigInt(version), seq], show: ([version, seq]) => [String(version), seq] };
const list = kind => ({ of: items => items.map(kind.of), show: items => Array.from(items, kind.show) });
const tuple = (...kinds) => ({
  of: items => items.map((item, at) => kinds[at].of(item)),
  show: items => Array.from(items, (item, at) => kinds[at].show(item)),
});
const optional = kind => ({ of: x => (x === null ? null : kind.of(x)), show: x => (x == null ? null : kind.show(x)) });

const bits = new DataView(new ArrayBuffer(8));
const value = {
  of([kind, content]) {
    switch (kind) {
      case 'null': return null;
      case 'integer': return BigInt(content);
      case 'real': bits.setBigUint64(0, BigInt(`0x${content}`)); return bits.getFloat64(0);
      case 'text': case 'bool': return content;
      case 'blob': return bytes.of(content);
      default: throw new Error(`there is no kind of value ${kind}`);
    }
  },
  show(x) {
    switch (typeof x) {
      case 'bigint': return ['integer', String(x)];
      case 'number': bits.setFloat64(0, x); return ['real', bits.getBigUint64(0).toString(16).padStart(16, '0')];
      case 'string': return ['text', x];
      case 'boolean': return ['bool', x];
      default: return x == null ? ['null'] : ['blob', bytes.show(x)];
    }
  },
};
const changes = list(tuple(plain, bytes, plain, value, integer, integer, optional(bytes), integer, plain));

const shapes = {
  AnnouncePresence: { sender: bytes, lastSeens: list(tuple(bytes, point)), schemaName: plain, schemaVersion: integer },
  Changes: { sender: bytes, since: point, changes },
  RejectChanges: { whose: bytes, since: point },
  StartStreaming: { since: point, excludeSites: list(bytes), localOnly: plain },
  CreateDbOnPrimary: { _reqid: plain, room: plain, schemaName: plain, schemaVersion: integer },
  ApplyChangesOnPrimary: { _reqid: plain, sender: bytes, changes, room: plain, newLastSeen: point },
  Ping: {},
  Pong: {},
  CreateDbOnPrimaryResponse: { _reqid: plain, txid: integer },
  Err: { _reqid: plain, err: plain },
  ApplyChangesOnPrimaryResponse: { _reqid: plain },
};
const nameOf = tag => Object.keys(tags).find(name => tags[name] === tag);

serve({
  tags: () => tags,
  schemaVersion: ({ text }) => String(cryb64(text)),
  encode({ message: [name, ...fields] }) {
    const message = { _tag: tags[name] };
    Object.entries(shapes[name]).forEach(([field, kind], at) => { message[field] = kind.of(fields[at]); });
    return bytes.show(encode(message));
  },
  decode({ bytes: hex }) {
    const message = decode(bytes.of(hex));
    const name = nameOf(message._tag);
    return [name, ...Object.entries(shapes[name]).map(([field, kind]) => kind.show(message[field]))];
  },
});
