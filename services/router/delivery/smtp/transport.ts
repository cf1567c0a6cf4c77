import { formatReply } from '#shared/mail/reply.ts';
import type { Channel, Transport, Unreachable } from '../channel.ts';
import { HostOrder, keyOf, type Step, type TargetSource } from '../hosts/host-order.ts';
import type { Attempt } from '../tls-policy/ladder.ts';
import { type OpenProbe, type Probed, probe } from '../tls-policy/probe.ts';
import { insecure, unreachable } from '../tls-policy/unusable.ts';
import type { Target } from '../tls-policy/wanted.ts';
import { type Open, SmtpChannel, type SmtpChannelOptions } from './channel.ts';
import { HostUnusable } from './errors.ts';
import { Search } from './search.ts';
import { openSession, type PeerSession, type PeerSessionOptions } from './session.ts';
import { ChunkingFaults } from './transaction/chunking.ts';

export type SmtpTransportOptions = Pick<PeerSessionOptions, 'protocol' | 'ca'> &
  Pick<SmtpChannelOptions, 'smartHost' | 'settings' | 'log' | 'missing'> & {
    /** Where to try, best first; at least one. What they ask of TLS differs in the log-in alone. */
    sources: readonly TargetSource[];
    /** Hosts that do CHUNKING wrong, which outlast the destination. */
    chunkingFaults?: ChunkingFaults;
  };

/**
 * SMTP or LMTP to the first host that can be used (RFC 5321 §5.1). A host that cannot be used, or that breaks a transaction
 * off, comes after the others for a while.
 */

export class SmtpTransport implements Transport {
  readonly #options: SmtpTransportOptions;
  readonly #order: HostOrder;
  readonly #chunkingFaults: ChunkingFaults;

  constructor(options: SmtpTransportOptions) {
    this.#options = options;
    this.#chunkingFaults = options.chunkingFaults ?? new ChunkingFaults();
    this.#order = new HostOrder(options.sources);
  }

  async connect(signal: AbortSignal): Promise<Channel> {
    const open: Open = (search, before) => this.#open(search, before, signal);
    const search = new Search();
    const session = await open(search, () => undefined);
    if (session === undefined) throw new Error('no host to try');
    return new SmtpChannel(session, {
      ...this.#options,
      open,
      search,
      chunkingFaults: this.#chunkingFaults,
      noteEnd: (target, broken) => this.#noteEnd(target, broken),
    });
  }

  /**
   * A session with each host, which ends before a login and before mail: what is wanted of it, and what is reached. Rejects
   * with `Unreachable` only.
   */
  async probe(signal: AbortSignal): Promise<Probed[]> {
    let unfound: Unreachable | undefined;
    const probes: Promise<Probed>[] = [];
    const found = this.#order.targets(new Set(), (reason) => {
      unfound = reason;
    });
    for await (const { source, target } of found) {
      const options = { ...this.#sessionOptions(source, signal), credentials: undefined };
      const open: OpenProbe = (attempt, onHandshake) => openSession(attempt, { ...options, onHandshake });
      probes.push(probe(source.ladder, target, open));
    }
    if (probes.length === 0 && unfound !== undefined) throw unfound;
    return Promise.all(probes);
  }

  #sessionOptions({ tls, credentials }: TargetSource, signal: AbortSignal): PeerSessionOptions {
    const { protocol, ca, log } = this.#options;
    return { protocol, rules: tls.rules, ca, credentials, signal, log, ...this.#options.settings() };
  }

  async #open(search: Search, before: () => void, signal: AbortSignal): Promise<PeerSession | undefined> {
    const { log } = this.#options;
    let last: { error: HostUnusable; attempt: Attempt } | undefined;
    let unfound: Unreachable | undefined;
    const noteUnfound = (reason: Unreachable): void => {
      unfound = reason;
      search.noteUnusable(undefined, reason);
    };
    const failed: HostUnusable[] = [];
    let begun = false;
    const further: Step[] = [];
    for await (const { source, attempt } of this.#order.steps(search.tried, further, noteUnfound)) {
      if (signal.aborted && last !== undefined) break;
      if (!begun) before();
      begun = true;
      search.tried.add(keyOf(attempt.target));
      try {
        const session = await openSession(attempt, this.#sessionOptions(source, signal));
        source.ladder.opened(attempt, session);
        return session;
      } catch (error) {
        if (!(error instanceof HostUnusable)) throw error;
        last = { error, attempt };
        log.debug({ peer: error.host, reply: formatReply(error.reply), rung: attempt.rung }, 'host not usable');
        const next = source.ladder.next(attempt, error);
        if (next === undefined) {
          failed.push(error);
          this.#giveUp({ source, attempt }, error, search);
        } else further.push({ source, attempt: next });
      }
    }
    if (last === undefined) {
      if (unfound !== undefined) throw unfound;
      return undefined;
    }
    const isHopeless = !signal.aborted && unfound === undefined && (await this.#isHopeless(failed));
    throw isHopeless
      ? insecure(failed, last.attempt, search.heard)
      : unreachable(last.error, last.attempt, search.heard);
  }

  /** No host of the destination can do what the message asks of TLS: none that was tried, and no other may be there. */
  async #isHopeless(failed: readonly HostUnusable[]): Promise<boolean> {
    const demand = this.#options.sources[0]?.tls.rules.demand;
    if (demand?.strict !== true || !failed.every((error) => error.insecure !== undefined)) return false;
    return (await this.#options.missing?.()) === undefined;
  }

  #giveUp({ source, attempt }: Step, error: HostUnusable, search: Search): void {
    search.noteUnusable(attempt.target.name, error);
    this.#order.shun(attempt.target);
    source.ladder.failed(attempt, error);
  }

  /** What a transaction taught about its host. */
  #noteEnd(target: Target, broken: boolean): void {
    if (broken) this.#order.shun(target);
    else this.#order.noteGood(target);
  }
}
