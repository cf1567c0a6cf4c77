import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy on loopback: a line that can be cut, or silenced, and mended. */
export class Cable implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #state: 'open' | 'cut' | 'silent' = 'open';

  private constructor(target: number, record: (bytes: Buffer) => void) {
    this.#server = createServer((client) => {
      if (this.#state === 'cut') {
        client.destroy();
        return;
      }
      const server = connect(target, '127.0.0.1');
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (data: Buffer) => {
          record(data);
          to.write(data);
        });
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        if (this.#state === 'silent') from.pause();
      }
    });
  }

  /** Listen on a free port and pass everything on to `target`; `record` gets all that passes, in both directions. */
  static async start(target: number, record: (bytes: Buffer) => void = () => undefined): Promise<Cable> {
    const cable = new Cable(target, record);
    cable.#server.listen(0, '127.0.0.1');
    await once(cable.#server, 'listening');
    return cable;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the cable does not listen');
    return address.port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Break every connection and take no new one. */
  cut(): void {
    this.#state = 'cut';
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Keep connections open and pass nothing on, as when a cable is pulled. */
  silence(): void {
    this.#state = 'silent';
    for (const socket of this.#sockets) socket.pause();
  }

  /** Pass on again, with what was held up. */
  mend(): void {
    this.#state = 'open';
    for (const socket of this.#sockets) socket.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
