import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import type { ListenerConfig } from '#cluster/config/schema/schema.ts';
import { openPort, portOf } from '#cluster/open-port.ts';
import type { SessionCounts } from '#cluster/serving/session-counts.ts';
import { isInNetwork, parseIp, parseNetwork } from '#shared/address/ip-address.ts';
import { errorText } from '#shared/errors.ts';
import type { LimitedLog } from '#shared/limited-log.ts';
import { formatReply } from '#shared/mail/reply.ts';
import type { Transcripts } from '#shared/transcript/transcripts.ts';
import type { Refusals } from './refusals/refusals.ts';
import { Session, type SessionDeps } from './session/session.ts';
import type { ClientConnection } from './smtp-server/client-connection.ts';
import { type ServerHooks, SmtpServer } from './smtp-server/server.ts';
import type { TlsMaterial } from './tls-material.ts';

/**
 * One listening socket and its sessions.
 *
 * States: `open()` → listening → `stop()` → finishing: no new connections, sessions end as soon as no message is under
 * way → closed, when the last one is gone or the grace period is over.
 */

/** How long a PROXY header and a TLS handshake may take, unless clients may be silent for less. */
const OPENING_MS = 30_000;
/** How long a session that was ended may take to send its last reply. */
const FAREWELL_MS = 1000;

export type ListenerParts = SessionDeps & {
  tls: TlsMaterial;
  counts: SessionCounts;
  /** For what anybody on the net can make us log. */
  strangers: LimitedLog;
  transcripts: Transcripts;
  refusals: Refusals;
};

export class Listener {
  /**
   * In force for new and running sessions; a change of address, port, implicit TLS or what is asked of certificates needs
   * another listener.
   */
  config: ListenerConfig;
  readonly #deps: ListenerParts;
  readonly #server: SmtpServer;
  #listening = false;

  constructor(config: ListenerConfig, deps: ListenerParts) {
    this.config = config;
    this.#deps = deps;
    const { settings } = deps;
    const options = {
      secure: config.tls === 'implicit',
      // Whoever has none, or one that nobody knows, is served all the same: policy decides what a certificate is good for.
      requestCert: config['client-certificates'] !== undefined,
      rejectUnauthorized: false,
      logger: false,
      // A client may close its side after QUIT or the final dot, and still has a right to the replies.
      allowHalfOpen: true,
      get socketTimeout(): number {
        return settings.current.limits.timeout;
      },
    };
    this.#server = new SmtpServer(options, this.#hooks());
  }

  /** The port, also where the configuration lets the system pick one. */
  get port(): number {
    return portOf(this.#server.server, this.config.port);
  }

  get connections(): ReadonlySet<ClientConnection> {
    return this.#server.open;
  }

  /** Whether this listener's socket can serve another configuration. */
  fits(config: ListenerConfig): boolean {
    const mine = this.config;
    return (
      this.#listening &&
      config.address === mine.address &&
      config.port === mine.port &&
      (config.tls === 'implicit') === (mine.tls === 'implicit') &&
      isDeepStrictEqual(config['client-certificates'], mine['client-certificates'])
    );
  }

  /** Open the socket. Rejects with `listen-failed`. */
  async open(): Promise<void> {
    const { address, name, port } = this.config;
    await openPort(this.#server.server, `listener ${name}`, { address, port });
    this.#listening = true;
    this.#deps.log.info({ listener: name, address, port: this.port, tls: this.config.tls }, 'listener opened');
  }

  /**
   * Take no more connections, let messages under way finish for at most `graceMs`, close. A client that waits for a
   * reply then is told to come back.
   */
  async stop(graceMs: number): Promise<void> {
    if (!this.#listening) return;
    this.#listening = false;
    const closed = once(this.#server.server, 'close');
    this.#server.stopAccepting();
    for (const connection of this.#server.open) connection.smtpSession.drain();
    const timers = [
      setTimeout(() => {
        for (const connection of this.#server.open) connection.smtpSession.abandon();
      }, graceMs),
      setTimeout(() => {
        for (const connection of this.#server.open) connection.destroy();
      }, graceMs + FAREWELL_MS),
    ];
    await closed;
    for (const timer of timers) clearTimeout(timer);
  }

  #hooks(): ServerHooks {
    const { tls, counts, settings, log, strangers, gateways, transcripts, refusals } = this.#deps;
    const { name: listener, 'client-certificates': asked } = this.config;
    return {
      tls: tls.of(asked),
      counts,
      limits: () => settings.current.limits,
      openingMs: () => Math.min(OPENING_MS, settings.current.limits.timeout),
      expectsProxy: (address) => speaksProxy(this.config.proxy, address, gateways.has(address)),
      session: (connection) => new Session(this.#deps, this, connection),
      acceptFailed(error) {
        strangers.say('accept', (repeated) =>
          log.error({ listener, error: errorText(error), ...repeated }, 'listener cannot accept a connection'),
        );
      },
      refused(peer, reply) {
        refusals.add({ listener, client: { address: peer }, step: 'connect', to: [], reply });
        strangers.say(`refused ${peer}`, (repeated) =>
          log.info({ listener, peer, reply: formatReply(reply), ...repeated }, 'connection refused'),
        );
      },
      failed(peer, error) {
        refusals.add({ listener, client: { address: peer }, step: 'connect', to: [], error: errorText(error) });
        strangers.say(`failed ${peer}`, (repeated) =>
          log.info({ listener, peer, error: errorText(error), ...repeated }, 'connection failed'),
        );
      },
      unopened: (peer, what) =>
        transcripts.note({ address: peer, names: [], text: peer }, `${what}, at listener ${listener}`),
      left: (peer) => log.debug({ listener, peer }, 'connection closed before anything was said'),
    };
  }
}

/**
 * Whether a peer is one of these proxies, or in one of these networks. Through a gateway anybody comes in, who could then
 * say to be anybody: only an entry that is its address alone means it.
 */
export function speaksProxy(proxies: readonly string[], address: string, isGateway: boolean): boolean {
  const peer = proxies.length === 0 ? undefined : parseIp(address);
  return (
    peer !== undefined &&
    proxies.some((text) => {
      const network = parseNetwork(text);
      return network !== undefined && isInNetwork(peer, network) && !(isGateway && parseIp(text) === undefined);
    })
  );
}
