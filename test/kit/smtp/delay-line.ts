import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A TCP proxy on loopback that is far away: what is sent through it, and a connect, arrives half a round trip later, in
 * order and whatever its size.
 */
export class DelayLine implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #delayMs: number;
  /** Most connections at the same time so far. */
  most = 0;
  #open = 0;

  private constructor(target: number, roundTripMs: number) {
    this.#delayMs = roundTripMs / 2;
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
      this.most = Math.max(this.most, ++this.#open);
      near.once('close', () => this.#open--);
      this.#later(() => {
        const far = connect({ port: target, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
        this.#pass(near, far);
        this.#pass(far, near);
      });
    });
  }

  static async start(target: number, roundTripMs: number): Promise<DelayLine> {
    const line = new DelayLine(target, roundTripMs);
    line.#server.listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    return line;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (bytes: Buffer) => this.#later(() => to.write(bytes)));
    from.on('end', () => this.#later(() => to.end()));
    from.on('error', () => this.#later(() => to.destroy()));
    from.on('close', () => this.#sockets.delete(from));
  }

  /** Timers of the same length run in the order in which they were set. */
  #later(work: () => void): void {
    setTimeout(work, this.#delayMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
