import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/**
 * An LDAP server that says what a test wants, on 127.0.0.1 and a port of its own. Each request is answered by `answer`, with
 * the id that the answer must bear; a bind succeeds, where `answer` has nothing for it.
 */

export type Asked = 'bind' | 'search' | 'extended' | 'other';
export type FakeAnswer = (asked: Asked, id: number, socket: Socket) => Buffer | undefined;
export type FakeLdap = AsyncDisposable & {
  url: string;
  /** What it was asked, in order. */
  asked: Asked[];
  /** How many connections were open concurrently. */
  mostOpen(): number;
};

const ASKED: Record<number, Asked> = { 96: 'bind', 99: 'search', 119: 'extended' };

export async function fakeLdap(answer: FakeAnswer): Promise<FakeLdap> {
  const sockets = new Set<Socket>();
  const asked: Asked[] = [];
  let mostOpen = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    mostOpen = Math.max(mostOpen, sockets.size);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    // Requests of these tests are shorter than 128 bytes or come alone: one at a time, as the client sends them.
    socket.on('data', (bytes) => {
      const start = (bytes[1] ?? 0) < 0x80 ? 2 : 2 + ((bytes[1] ?? 0) & 0x7f);
      const length = bytes[start + 1] ?? 0;
      const id = bytes.readIntBE(start + 2, length);
      const kind = ASKED[bytes[start + 2 + length] ?? 0] ?? 'other';
      asked.push(kind);
      const reply = answer(kind, id, socket) ?? (kind === 'bind' ? message(id, result(0x61, 0)) : undefined);
      if (reply !== undefined) socket.write(reply);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `ldap://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    mostOpen: () => mostOpen,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** An element in BER. */
export function tlv(tag: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = Buffer.alloc(6, 0);
  length.writeUInt8(tag);
  length.writeUInt8(0x84, 1);
  length.writeUInt32BE(content.length, 2);
  return Buffer.concat([length, content]);
}

export const message = (id: number, operation: Buffer): Buffer =>
  tlv(0x30, tlv(0x02, Buffer.from([id >> 8, id & 0xff])), operation);

/** A result of the operation whose answer has `tag` (0x61 bind, 0x65 search, 0x78 extended). */
export const result = (tag: number, code: number, text = '', ...more: readonly Buffer[]): Buffer =>
  tlv(tag, tlv(0x0a, Buffer.from([code])), tlv(0x04), tlv(0x04, text), ...more);

export const done = (id: number, code = 0, text = '', ...more: readonly Buffer[]): Buffer =>
  message(id, result(0x65, code, text, ...more));

/** An entry that a search found. */
export function found(id: number, dn: string, attributes: Record<string, readonly (string | Buffer)[]>): Buffer {
  const list = Object.entries(attributes).map(([name, values]) =>
    tlv(0x30, tlv(0x04, name), tlv(0x31, ...values.map((value) => tlv(0x04, value)))),
  );
  return message(id, tlv(0x64, tlv(0x04, dn), tlv(0x30, ...list)));
}
