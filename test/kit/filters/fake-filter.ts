import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** A server that says whatever a test wants to a listener that takes it for a filter. */
export class FakeFilter implements AsyncDisposable {
  readonly port: number;
  /** Connections that came so far. */
  count = 0;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(serve: (socket: Socket) => unknown): Promise<FakeFilter> {
    const server = createServer((socket) => {
      fake.count++;
      fake.#open.add(socket);
      // What the other side does to the connection is its matter.
      socket.on('error', () => undefined);
      socket.on('close', () => fake.#open.delete(socket));
      serve(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const fake = new FakeFilter(server);
    return fake;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#open.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The answer of a web server, complete. */
export function httpAnswer(body: string, status = '200 OK'): string {
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Serves one request, or one INSTREAM: `answer` once the whole message has come. */
export function afterMessage(answer: string | Buffer): (socket: Socket) => void {
  return (socket) => {
    let tail = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      tail = Buffer.concat([tail, bytes]).subarray(-7);
      const text = tail.toString('latin1');
      if (text.endsWith('\r\n0\r\n\r\n') || text.endsWith('\0\0\0\0')) socket.write(answer);
    });
  };
}
