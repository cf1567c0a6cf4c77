import { createConnection, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ConnectionOptions, NatsConnection, ServerInfo } from 'nats';
import { NatsConnectionImpl, setTransportFactory } from 'nats/lib/nats-base-client/internal_mod.js';
import { NodeTransport } from 'nats/lib/src/node_transport.js';

/**
 * The client's transport, with an end to each try.
 *
 * The client's own leaves the socket open where a server accepts and does not greet, and waits for it for good: with a
 * nats-server that hangs, one more socket each second. To look for the greeting on a connection of its own first would
 * be two connections for each, and nats-server writes each of the first ones into its log (`TLS handshake error: EOF`).
 */
type LinkOptions = ConnectionOptions & {
  /** Gives up a try that is under way. */
  signal: AbortSignal;
};

type Place = { hostname: string; port: number; tlsName: string };

class LinkTransport extends NodeTransport {
  #dialed: Socket | undefined;

  override async connect(place: Place, options: ConnectionOptions): Promise<void> {
    const { signal } = options as Partial<LinkOptions>;
    const giveUp = (): void => void this.#dialed?.destroy();
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      await super.connect(place, options);
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  override dial({ hostname, port }: Place): Promise<Socket> {
    const socket = createConnection({ host: hostname, port, noDelay: true });
    this.#dialed = socket;
    return new Promise((resolve, reject) => {
      socket.once('connect', () => {
        socket.removeAllListeners();
        resolve(socket);
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('given up')));
    });
  }

  override async peekInfo(): Promise<ServerInfo> {
    try {
      return await super.peekInfo();
    } catch (error) {
      if (error === undefined) throw new Error('it closed the connection without a greeting');
      if (error instanceof Error && 'code' in error) throw error;
      throw new Error('what answers is not a NATS server', { cause: error });
    }
  }

  /** While the client reads the files of certificates it hears nothing of the socket, whose error would end the process. */
  override startTLS(): Promise<TLSSocket> {
    this.socket.on('error', () => undefined);
    return super.startTLS();
  }

  /** Called when a try takes too long, and at the end of a connection. */
  override async close(error?: Error): Promise<void> {
    if (!this.connected) this.#dialed?.destroy();
    await super.close(error);
  }
}

/** Connect as the client's `connect` does. */
export function connectClient(options: LinkOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new LinkTransport() });
  return NatsConnectionImpl.connect(options);
}
