import type { Logger } from '#shared/log.ts';
import { formatReply, type Reply } from '#shared/reply.ts';
import { type Channel, type Transport, Unreachable } from '../channel.ts';
import type { Job, OpenedMessage, RecipientResult } from '../job.ts';
import { HostUnusable } from './errors.ts';
import { openSession, type PeerSession, type PeerSessionOptions, type Target } from './session.ts';
import { Transaction } from './transaction.ts';

/** What the transport reads at every use, so that a changed configuration takes effect immediately. */
export type SmtpTransportSettings = Pick<PeerSessionOptions, 'hostname' | 'timeouts'>;

export type SmtpTransportOptions = Pick<
  PeerSessionOptions,
  'protocol' | 'tls' | 'implicitTls' | 'ca' | 'credentials'
> & {
  /** The route names the host: a refused login or a demand for TLS is then a fault of our configuration. */
  smartHost: boolean;
  /** Where to try, best first. Rejects with `Unreachable`. */
  targets: () => Promise<Target[]>;
  settings: () => SmtpTransportSettings;
  log: Logger;
};

/** How long a host that could not be used is tried after the others. */
const SHUN_MS = 60_000;

/** SMTP or LMTP to the first host that can be used (RFC 5321 §5.1). */
export class SmtpTransport implements Transport {
  readonly #options: SmtpTransportOptions;
  /** Address → when it may come first again, so that not every connection waits for the time-out of a dead host. */
  readonly #shunned = new Map<string, number>();

  constructor(options: SmtpTransportOptions) {
    this.#options = options;
  }

  async connect(signal: AbortSignal): Promise<Channel> {
    const { hostname, timeouts } = this.#options.settings();
    const { protocol, tls, implicitTls, ca, credentials, log } = this.#options;
    const options: PeerSessionOptions = {
      protocol,
      tls,
      implicitTls,
      ca,
      credentials,
      hostname,
      timeouts,
      signal,
      log,
    };
    let last: HostUnusable | undefined;
    for (const target of this.#inOrder(await this.#options.targets())) {
      if (signal.aborted && last !== undefined) break;
      try {
        const session = await openSession(target, options);
        this.#shunned.delete(target.address);
        return new SmtpChannel(session, this.#options);
      } catch (error) {
        if (!(error instanceof HostUnusable)) throw error;
        last = error;
        this.#shunned.set(target.address, Date.now() + SHUN_MS);
        log.debug({ peer: error.host, reply: formatReply(error.reply) }, 'host not usable');
      }
    }
    if (last === undefined) throw new Error('no host to try');
    throw new Unreachable('deferred', last.reply, { local: last.local, host: last.host });
  }

  #inOrder(targets: Target[]): Target[] {
    const now = Date.now();
    for (const [address, until] of this.#shunned) if (until <= now) this.#shunned.delete(address);
    const rank = (target: Target): number => (this.#shunned.has(target.address) ? 1 : 0);
    return targets.toSorted((a, b) => rank(a) - rank(b));
  }
}

class SmtpChannel implements Channel {
  readonly #session: PeerSession;
  readonly #options: SmtpTransportOptions;
  #used = false;
  #needsReset = false;
  broken: Reply | undefined;

  constructor(session: PeerSession, options: SmtpTransportOptions) {
    this.#session = session;
    this.#options = options;
  }

  get usable(): boolean {
    return this.#session.connection.ended === undefined;
  }

  async send(job: Job, message: OpenedMessage): Promise<RecipientResult[]> {
    const { log, smartHost, settings } = this.#options;
    const { timeouts } = settings();
    const transaction = new Transaction(this.#session, job, message, { timeouts, log, smartHost });
    try {
      return await transaction.run(this.#needsReset, this.#used);
    } finally {
      this.#used = true;
      this.#needsReset = transaction.needsReset;
      this.broken = transaction.broken;
    }
  }

  close(): void {
    this.#session.connection.quit();
  }

  destroy(reason: string): void {
    this.#session.connection.destroy(reason);
  }
}
