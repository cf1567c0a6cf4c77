import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';

/**
 * An SMTP sink that counts: how often each message id (`X-Load-Id`, else `Message-ID`) arrived and how many messages
 * carried how many signatures. A journal report counts as the message inside. It keeps no bodies, so it can take any load. Only
 * CRLF.CRLF ends a message.
 */
export class Tally implements AsyncDisposable {
  readonly arrivals = new Map<string, number>();
  /** The queue ids that the messages of an id arrived under, as the Received field in front says. */
  readonly queueIds = new Map<string, Set<string>>();
  /** The ids of messages that arrived inside a journal report. */
  readonly reported = new Set<string>();
  /** Messages by their number of DKIM-Signature fields. */
  readonly signatures = new Map<number, number>();
  messages = 0;
  bytes = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #paused = false;

  private constructor(secureContext: SecureContext | undefined) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      if (this.#paused) socket.pause();
      socket.once('close', () => this.#sockets.delete(socket));
      socket.write('220 tally\r\n');
      serve(socket, (begin, bytes) => this.#count(begin, bytes), secureContext);
    });
  }

  /** `tls`: offer STARTTLS. */
  static async start(port = 0, host = '127.0.0.1', tls?: { certificate: string; key: string }): Promise<Tally> {
    const tally = new Tally(tls && createSecureContext({ cert: tls.certificate, key: tls.key }));
    tally.#server.listen(port, host);
    await once(tally.#server, 'listening');
    return tally;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Open connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Arrivals beyond the first of each id. */
  get duplicates(): number {
    let count = 0;
    for (const times of this.arrivals.values()) count += times - 1;
    return count;
  }

  /** Answer nothing, on old and new connections; what comes waits. */
  pause(): void {
    this.#paused = true;
    for (const socket of this.#sockets) socket.pause();
  }

  resume(): void {
    this.#paused = false;
    for (const socket of this.#sockets) socket.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** `begin`: its header, and more of it where it is small. */
  #count(begin: string, bytes: number): void {
    const header = begin.split('\r\n\r\n', 1)[0] ?? '';
    const isReport = /^X-MS-Journal-Report:/im.test(header);
    const ids = isReport ? begin : header;
    const id = /^X-Load-Id: *(\S+)/im.exec(ids)?.[1] ?? /^Message-ID: *(\S+)/im.exec(ids)?.[1] ?? '';
    if (isReport) this.reported.add(id);
    this.arrivals.set(id, (this.arrivals.get(id) ?? 0) + 1);
    const queueId = /^Received:(?:[^\r]|\r\n[ \t])*?\sid ([0-9A-Za-z]+)/im.exec(header)?.[1];
    if (queueId !== undefined) this.queueIds.set(id, (this.queueIds.get(id) ?? new Set()).add(queueId));
    const signatures = header.match(/^DKIM-Signature:/gim)?.length ?? 0;
    this.signatures.set(signatures, (this.signatures.get(signatures) ?? 0) + 1);
    this.messages++;
    this.bytes += bytes;
  }
}

const EHLO =
  '250-tally\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n';

/** `tls`: it may begin. */
function serve(socket: Socket, count: (begin: string, bytes: number) => void, tls: SecureContext | undefined): void {
  let input: Buffer = Buffer.alloc(0);
  let data = false;
  let begin = '';
  let bytes = 0;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    input = input.length === 0 ? chunk : Buffer.concat([input, chunk]);
    let out = '';
    for (;;) {
      if (data) {
        const end = input.indexOf('\r\n.\r\n');
        if (end < 0) {
          // Keep what may be the first part of the end; only the beginning is remembered.
          const take = Math.max(0, input.length - 4);
          if (begin.length < 65_536) begin += input.toString('latin1', 0, take);
          bytes += take;
          input = input.subarray(take);
          break;
        }
        if (begin.length < 65_536) begin += input.toString('latin1', 0, end);
        count(begin, bytes + end + 2);
        input = input.subarray(end + 5);
        data = false;
        out += '250 2.0.0 counted\r\n';
      } else {
        const end = input.indexOf('\r\n');
        if (end < 0) break;
        const verb = input.toString('latin1', 0, Math.min(end, 4)).toUpperCase();
        input = input.subarray(end + 2);
        if (verb === 'EHLO')
          out += tls === undefined ? EHLO : EHLO.replace('250-PIPELINING', '250-STARTTLS\r\n250-PIPELINING');
        else if (verb === 'STAR' && tls !== undefined) {
          socket.removeAllListeners('data');
          socket.write('220 2.0.0 go ahead\r\n');
          serve(new TLSSocket(socket, { isServer: true, secureContext: tls }), count, undefined);
          return;
        } else if (verb === 'DATA') {
          data = true;
          begin = '';
          bytes = 0;
          out += '354 go\r\n';
        } else if (verb === 'QUIT') {
          socket.end(`${out}221 2.0.0 bye\r\n`);
          return;
        } else out += '250 2.0.0 ok\r\n';
      }
    }
    if (out !== '') socket.write(out);
  });
}
