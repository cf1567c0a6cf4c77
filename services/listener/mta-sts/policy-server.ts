import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { type EffectivePolicy, effectivePolicy } from '#cluster/config/rules/mta-sts.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { stsHost } from '#shared/mta-sts/own-policy.ts';
import { openPort, portOf } from '../open-port.ts';
import { SessionCounts } from '../session/session-counts.ts';

/**
 * Serves the MTA-STS policy file of our domains (RFC 8461 §3.3): `GET /.well-known/mta-sts.txt` at the host
 * `mta-sts.<domain>`, by HTTPS with the certificates of the listeners, or by HTTP to a proxy on this machine. Everything
 * else is 404. Each connection gets one answer.
 *
 * It faces the whole Internet and is asked for a few hundred bytes: what it may take is bounded in connections, in all and
 * from one client, in the size of a request and in time.
 *
 * States: closed → `apply` with a section `mta-sts` → serving → `apply` without one, or `stop` → closed. Another address,
 * port or kind of TLS is another socket; a new policy is served by the open one.
 */

const PATH = '/.well-known/mta-sts.txt';
const LIMITS = { sessions: 200, 'sessions-per-client': 10 };
/** For the handshake, for the request, and for the answer. */
const PATIENCE_MS = 10_000;
const OPTIONS = {
  maxHeaderSize: 8192,
  headersTimeout: PATIENCE_MS,
  requestTimeout: PATIENCE_MS,
  connectionsCheckingInterval: 1000,
};

type StsConfig = Config & { 'mta-sts': NonNullable<Config['mta-sts']> };

export type PolicyServerDeps = {
  log: Logger;
  /** The certificate for a name that a client asks for (SNI), which every sender gives (§3.3). */
  tls: { contextFor(host: string): SecureContext | undefined };
};

export class PolicyServer {
  readonly #deps: PolicyServerDeps;
  readonly #counts = new SessionCounts();
  #config: StsConfig | undefined;
  #policy: EffectivePolicy | undefined;
  #server: Server | undefined;

  constructor(deps: PolicyServerDeps) {
    this.#deps = deps;
  }

  /** What is served now, and where; undefined while nothing is. */
  get status(): (Pick<EffectivePolicy, 'id' | 'text' | 'domains'> & { port: number }) | undefined {
    if (this.#server === undefined || this.#policy === undefined || this.#config === undefined) return undefined;
    const { id, text, domains } = this.#policy;
    return { id, text, domains, port: portOf(this.#server, this.#config['mta-sts'].port) };
  }

  /** Serve what this configuration says. Rejects with `listen-failed`. */
  async apply(config: Config): Promise<void> {
    const next = isServing(config) ? config : undefined;
    const stays = next !== undefined && this.#server !== undefined && placeOf(next) === placeOf(this.#config);
    this.#config = next;
    this.#policy = effectivePolicy(config);
    if (stays) return;
    await this.stop();
    if (next === undefined) return;
    const server = this.#create(next);
    const { address, port, mode } = next['mta-sts'];
    await openPort(server, 'the server of the MTA-STS policy', { address, port });
    server.on('error', (error) => this.#deps.log.error({ error: errorText(error) }, 'MTA-STS policy not served'));
    this.#server = server;
    this.#deps.log.info({ address, port: portOf(server, port), mode, id: this.#policy?.id }, 'MTA-STS policy served');
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  #create({ 'mta-sts': { tls } }: StsConfig): Server {
    const answer = (request: IncomingMessage, response: ServerResponse): void => this.#answer(request, response);
    const server =
      tls === 'none'
        ? createHttp(OPTIONS, answer)
        : createHttps(
            {
              ...OPTIONS,
              handshakeTimeout: PATIENCE_MS,
              SNICallback: (host, done) => done(null, this.#deps.tls.contextFor(host)),
            },
            answer,
          );
    server.setTimeout(PATIENCE_MS);
    // A proxy is one client for all.
    server.on('connection', (socket: Socket) => this.#admit(socket, tls === 'implicit'));
    server.on('tlsClientError', (error: Error, { remoteAddress: client }: Socket) => {
      this.#deps.log.debug({ client, error: errorText(error) }, 'TLS with a client of the MTA-STS policy failed');
    });
    return server;
  }

  #admit(socket: Socket, byClient: boolean): void {
    const place = this.#counts.admit(LIMITS);
    if ('code' in place) {
      socket.destroy();
      return;
    }
    socket.once('close', () => place.release());
    const refused = byClient ? place.claim(socket.remoteAddress ?? '', LIMITS) : undefined;
    if (refused !== undefined) socket.destroy();
  }

  #answer({ method, url, headers }: IncomingMessage, response: ServerResponse): void {
    const host = normalizeDomain((headers.host ?? '').replace(/:\d+$/, ''));
    const policy = this.#policy;
    const isAsked = (method === 'GET' || method === 'HEAD') && url === PATH;
    const body = isAsked && policy?.domains.some((domain) => stsHost(domain) === host) ? policy.text : undefined;
    response.writeHead(body === undefined ? 404 : 200, {
      'content-type': 'text/plain',
      'content-length': Buffer.byteLength(body ?? ''),
      connection: 'close',
    });
    response.end(body);
  }
}

const isServing = (config: Config): config is StsConfig => config['mta-sts'] !== undefined;

function placeOf(config: StsConfig | undefined): string {
  const { address, port, tls } = config?.['mta-sts'] ?? {};
  return JSON.stringify([address, port, tls]);
}
