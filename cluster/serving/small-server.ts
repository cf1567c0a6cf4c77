import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { openPort, type Place, portOf } from '../open-port.ts';
import { SessionCounts } from './session-counts.ts';

/**
 * A server of HTTP or HTTPS for what is asked with one GET, which may face the whole Internet: what it may take is bounded in
 * connections, in all and from one client, in the size of a request and in time. Each connection gets one answer, and its
 * body is not read. Node takes in requests that come behind the first one while that waits for its answer, without a
 * limit: such a connection is closed.
 */

const SESSIONS_PER_CLIENT = 10;
/** For the handshake, for the request, and for the answer. */
const PATIENCE_MS = 10_000;
const OPTIONS = {
  maxHeaderSize: 8192,
  headersTimeout: PATIENCE_MS,
  requestTimeout: PATIENCE_MS,
  connectionsCheckingInterval: 1000,
};

/** `type`: `text/plain` by default. */
export type SmallAnswer = { code: number; body?: string; type?: string; fields?: Record<string, string> };
export const NOT_FOUND: SmallAnswer = { code: 404 };

export type SmallServerOptions = Place & {
  log: Logger;
  /** What it serves, as the beginning of messages: `the MTA-STS policy`. */
  what: string;
  /** The certificate for a name that a client asks for (SNI); absent: HTTP. */
  contextFor?: ((host: string) => SecureContext | undefined) | undefined;
  /** Most concurrent connections, 200 by default. */
  sessions?: number;
  /** Whether connections of one client are bounded too: a proxy is one client for all. */
  byClient: boolean;
  answer: (request: IncomingMessage) => SmallAnswer | Promise<SmallAnswer>;
};

export class SmallServer {
  readonly #server: Server;
  readonly #options: SmallServerOptions;
  readonly #counts = new SessionCounts();
  /** Connections that had their request. */
  readonly #served = new WeakSet<Socket>();

  private constructor(options: SmallServerOptions) {
    this.#options = options;
    this.#server = this.#create();
  }

  /** Rejects with `listen-failed`. */
  static async open(options: SmallServerOptions): Promise<SmallServer> {
    const { log, what } = options;
    const opened = new SmallServer(options);
    await openPort(opened.#server, `the server of ${what}`, options);
    opened.#server.on('error', (error) => log.error({ error: errorText(error) }, `${what} not served`));
    return opened;
  }

  get port(): number {
    return portOf(this.#server, this.#options.port);
  }

  /** Let the process end although it serves. */
  unref(): void {
    this.#server.unref();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #create(): Server {
    const { contextFor, log, what } = this.#options;
    const answer = (request: IncomingMessage, response: ServerResponse): void => void this.#answer(request, response);
    const server =
      contextFor === undefined
        ? createHttp(OPTIONS, answer)
        : createHttps(
            { ...OPTIONS, handshakeTimeout: PATIENCE_MS, SNICallback: (host, done) => done(null, contextFor(host)) },
            answer,
          );
    server.setTimeout(PATIENCE_MS);
    server.on('connection', (socket: Socket) => this.#admit(socket));
    server.on('tlsClientError', (error: Error, { remoteAddress: client }: Socket) => {
      log.debug({ client, error: errorText(error) }, `TLS with a client of ${what} failed`);
    });
    return server;
  }

  #admit(socket: Socket): void {
    const { sessions = 200, byClient } = this.#options;
    const limits = { sessions, 'sessions-per-client': SESSIONS_PER_CLIENT };
    const place = this.#counts.admit(limits);
    if (typeof place === 'string') {
      socket.destroy();
      return;
    }
    socket.once('close', () => place.release());
    const refused = byClient ? place.claim(socket.remoteAddress ?? '', limits) : undefined;
    if (refused !== undefined) socket.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#served.has(request.socket)) {
      request.socket.destroy();
      return;
    }
    this.#served.add(request.socket);
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const { code, body, type = 'text/plain', fields } = isRead ? await this.#options.answer(request) : NOT_FOUND;
    response.writeHead(code, {
      ...fields,
      'content-type': type,
      'content-length': Buffer.byteLength(body ?? ''),
      connection: 'close',
    });
    response.end(body);
  }
}
