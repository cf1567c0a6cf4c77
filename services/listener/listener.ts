import { once } from 'node:events';
import ipaddr from 'ipaddr.js';
import type { ListenerConfig } from '#cluster/config/schema/schema.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { Session, type SessionDeps } from './session/session.ts';
import { type ClientConnection, SmtpServer } from './smtp-server/server.ts';
import type { TlsMaterial } from './tls-material.ts';

/**
 * One listening socket and its sessions.
 *
 * States: `open()` → listening → `stop()` → finishing: no new connections, sessions end as soon as no message is under
 * way → closed, when the last one is gone or the grace period is over.
 */

/** How long a session that was ended may take to send its last reply. */
const FAREWELL_MS = 1000;
/** Error codes of a machine without IPv6. */
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL']);

export class Listener {
  /** In force for new and running sessions; a change of address, port or implicit TLS needs another listener. */
  config: ListenerConfig;
  readonly #deps: SessionDeps;
  readonly #server: SmtpServer;
  #listening = false;

  constructor(config: ListenerConfig, deps: SessionDeps, tls: TlsMaterial) {
    this.config = config;
    this.#deps = deps;
    const { settings, log } = deps;
    const options = {
      secure: config.tls === 'implicit',
      logger: false,
      // A client may close its side after QUIT or the final dot, and still has a right to the replies.
      allowHalfOpen: true,
      get maxClients(): number {
        return settings.current.limits.sessions;
      },
      get socketTimeout(): number {
        return settings.current.limits.timeout;
      },
    };
    this.#server = new SmtpServer(options, {
      tls,
      expectsProxy: (address) => matches(this.config.proxy, address),
      session: (connection) => new Session(deps, this, connection),
      failed: (error) => {
        log.info(
          { listener: this.config.name, peer: error.remoteAddress, error: errorText(error) },
          'connection failed',
        );
      },
    });
  }

  /** The port, also where the configuration lets the system pick one. */
  get port(): number {
    const address = this.#server.server.address();
    return address === null || typeof address === 'string' ? this.config.port : address.port;
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
      (config.tls === 'implicit') === (mine.tls === 'implicit')
    );
  }

  /** Open the socket. Rejects with `listen-failed`. */
  async open(): Promise<void> {
    const { address, name, port } = this.config;
    try {
      try {
        await this.#listen(address);
      } catch (error) {
        if (address !== '::' || !NO_IPV6.has(errorCode(error) ?? '')) throw error;
        await this.#listen('0.0.0.0');
      }
    } catch (cause) {
      const message = `listener ${name} cannot listen on ${address} port ${port}${listenAdvice(cause, port)}`;
      throw new SealpostError('listen-failed', message, { cause });
    }
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

  async #listen(host: string): Promise<void> {
    const { server } = this.#server;
    // `ipv6Only: false` makes `::` every address, whatever the system's default is.
    server.listen({ host, port: this.config.port, ipv6Only: false });
    await once(server, 'listening');
  }
}

/** Whether an address is one of these, or in one of these networks. */
export function matches(networks: readonly string[], address: string): boolean {
  if (networks.length === 0 || !ipaddr.isValid(address)) return false;
  const peer = ipaddr.process(address);
  return networks.some((network) => {
    const [base, bits] = network.includes('/') ? ipaddr.parseCIDR(network) : [ipaddr.process(network), undefined];
    if (base.kind() !== peer.kind()) return false;
    return peer.match(base, bits ?? (peer.kind() === 'ipv4' ? 32 : 128));
  });
}

/** What to do about a port that cannot be opened, as the end of a sentence. */
function listenAdvice(error: unknown, port: number): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return ': another program has it; stop that one, or choose another port';
    case 'EACCES':
      return port < 1024 ? ': ports below 1024 need root or the capability CAP_NET_BIND_SERVICE' : '';
    case 'EADDRNOTAVAIL':
      return ': this machine does not have the address';
    default:
      return '';
  }
}
