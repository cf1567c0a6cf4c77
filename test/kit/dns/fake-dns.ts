import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Class, type DnsRecord, decodeMessage, encodeMessage, type Response, Type } from '#shared/dns/message.ts';
import { encodeName } from '#shared/dns/name.ts';
import { freePort } from '#test/kit/free-port.ts';

/** A query as it came, and how. */
export type Query = Response & { transport: 'udp' | 'tcp' };
/** Datagrams or TCP messages to answer with, one after the other; none: silence. `close`: end the connection. */
export type Handler = (query: Query) => Reply | Promise<Reply>;
type Reply = Buffer | Buffer[] | 'close' | undefined;

/** A name server that says whatever a test wants, by UDP and TCP on one port. */
export class FakeDns implements AsyncDisposable {
  /** What came, in its order. */
  readonly queries: Query[] = [];
  handler: Handler;
  readonly address: string;
  readonly port: number;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();

  private constructor(handler: Handler, address: string, port: number) {
    this.handler = handler;
    this.address = address;
    this.port = port;
    this.#udp = createSocket('udp4', async (bytes, from) => {
      const said = await this.#say(bytes, 'udp');
      if (said !== 'close') for (const message of said) this.#udp.send(message, from.port, from.address);
    });
    this.#tcp = createServer((socket) => this.#connected(socket));
  }

  /** On one of 127.0.0.0/8; `port` as another one has it, or a free one. */
  static async start(handler: Handler, address = '127.0.0.1', port?: number): Promise<FakeDns> {
    for (let attempt = 1; ; attempt++) {
      const fake = new FakeDns(handler, address, port ?? (await freePort(address)));
      try {
        fake.#udp.bind(fake.port, address);
        await once(fake.#udp, 'listening');
        fake.#tcp.listen(fake.port, address);
        await once(fake.#tcp, 'listening');
        return fake;
      } catch (error) {
        await fake[Symbol.asyncDispose]();
        if (attempt === 3 || port !== undefined) throw error;
      }
    }
  }

  get server(): string {
    return `${this.address}:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    const closed = [once(this.#udp, 'close'), ...(this.#tcp.listening ? [once(this.#tcp, 'close')] : [])];
    this.#udp.close();
    this.#tcp.close();
    await Promise.all(closed);
  }

  #connected(socket: Socket): void {
    this.#connections.add(socket);
    let received = Buffer.alloc(0);
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', async (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = received.subarray(2, 2 + received.readUInt16BE(0));
      received = Buffer.alloc(0);
      const said = await this.#say(message, 'tcp');
      if (said === 'close') socket.destroy();
      else for (const message of said) socket.write(framed(message));
    });
  }

  async #say(bytes: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer[] | 'close'> {
    const query = { ...decodeMessage(bytes), transport };
    this.queries.push(query);
    const said = (await this.handler(query)) ?? [];
    return Buffer.isBuffer(said) ? [said] : said;
  }
}

export type FakeAnswer = {
  rcode?: number;
  /** AA; set by default. */
  authoritative?: boolean;
  truncated?: boolean;
  answers?: DnsRecord[];
  authorities?: DnsRecord[];
  additionals?: DnsRecord[];
  id?: number;
  question?: { name: string; type: number };
};

/** An answer to a query, right in all that is not given. */
export function answerTo(query: Query, answer: FakeAnswer = {}): Buffer {
  const [question = { name: '', type: Type.TXT }] = query.questions;
  const { rcode = 0, authoritative = true, truncated = false, ...sections } = answer;
  const bytes = encodeMessage({ id: query.id, opcode: query.opcode, question, ...sections });
  const flags = bytes.readUInt16BE(2) | 0x8000 | (authoritative ? 0x0400 : 0) | (truncated ? 0x0200 : 0) | rcode;
  bytes.writeUInt16BE(flags, 2);
  return bytes;
}

/** A TXT record of these strings. */
export function txt(name: string, ...strings: string[]): DnsRecord {
  const rdata = strings.flatMap((s) => [Buffer.from([s.length]), Buffer.from(s, 'latin1')]);
  return { name, type: Type.TXT, class: Class.IN, ttl: 60, rdata: Buffer.concat(rdata) };
}

/** A record whose data is a name (CNAME, NS). */
export function pointer(type: number, name: string, target: string): DnsRecord {
  return { name, type, class: Class.IN, ttl: 60, rdata: encodeName(target) };
}

/** An A record. */
export function address(name: string, ip: string): DnsRecord {
  return { name, type: Type.A, class: Class.IN, ttl: 60, rdata: Buffer.from(ip.split('.').map(Number)) };
}

/** A message as it goes over TCP: after its length. */
function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
