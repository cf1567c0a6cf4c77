import { createConnection, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type ConnectionOptions, ErrorCode, type NatsConnection, NatsError, type ServerInfo } from 'nats';
import { NatsConnectionImpl, setTransportFactory } from 'nats/lib/nats-base-client/internal_mod.js';
import { NodeTransport } from 'nats/lib/src/node_transport.js';
import { errorText, SealpostError } from '#shared/errors.ts';

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

/** A server of the configuration. */
export type Server = { url: string; host: string; port: number; tls: boolean };

const DEFAULT_PORT = 4222;
/** Longest time for a server to greet and to accept the login. */
export const CONNECT_LIMIT_MS = 3000;

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

export function parseServer(url: string): Server {
  const { protocol, hostname, port, username } = new URL(url);
  if (username !== '') {
    throw new SealpostError(
      'invalid-config',
      `user and password of a NATS server belong under bus.user and bus.password`,
    );
  }
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return { url, host, port: port === '' ? DEFAULT_PORT : Number(port), tls: protocol === 'tls:' };
}

/** Why a try failed; the client has no words of its own for what the system said. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof NatsError)) return errorText(error);
  if (error.code === ErrorCode.Timeout) return `no answer within ${CONNECT_LIMIT_MS} ms`;
  return errorText(error.chainedError ?? error);
}
