import type { Logger } from '#shared/log.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import { type Channel, type Transport, Unreachable } from '../channel.ts';
import { HostOrder, keyOf, type Step, type TargetSource } from '../hosts/host-order.ts';
import type { Job, JobRecipient, OpenedMessage, RecipientResult } from '../job.ts';
import type { Attempt } from '../tls-policy/ladder.ts';
import { type OpenProbe, type Probed, probe } from '../tls-policy/probe.ts';
import { insecure, unreachable } from '../tls-policy/unusable.ts';
import type { Target } from '../tls-policy/wanted.ts';
import { HostUnusable } from './errors.ts';
import { Search, waiting } from './search.ts';
import { openSession, type PeerSession, type PeerSessionOptions } from './session.ts';
import { Transaction, type TransactionOptions } from './transaction.ts';

/** What the transport reads at every use, so that a changed configuration takes effect immediately. */
export type SmtpTransportSettings = Pick<PeerSessionOptions, 'hostname' | 'timeouts' | 'transcript'>;

export type SmtpTransportOptions = Pick<PeerSessionOptions, 'protocol' | 'ca'> & {
  /** The route names the host: a refused login or a demand for TLS is then a fault of our configuration. */
  smartHost: boolean;
  /** Where to try, best first; at least one. What they ask of TLS differs in the log-in alone. */
  sources: readonly TargetSource[];
  /** Why a host that may be there later is not among the targets; undefined: all of them are. */
  missing?: () => Promise<Unreachable | undefined>;
  settings: () => SmtpTransportSettings;
  log: Logger;
};

/**
 * SMTP or LMTP to the first host that can be used (RFC 5321 §5.1).
 *
 * A host that cannot be used, or that breaks a transaction off, comes after the others for a while. Where a transaction
 * ends before the final dot and the peer has not refused for good, the next host is tried in the same attempt: after a
 * lost connection, 421, and 4yz to MAIL, DATA or every RCPT. A refusal of some recipients is about them, not about the
 * host. It is also tried where the message does not fit a host (fit.ts). Such a message fails when it fits none; while a
 * host that may take it cannot be used, it waits. The channel ends with a message that moved on, so that the next one goes
 * to the best host again.
 */

/** Hosts that one attempt sends to: one that limits us does so with all of its addresses (RFC 5321 §5.1: at least 2). */
const MOST_SESSIONS = 5;

/**
 * A session with the best of the hosts that were not tried; undefined where none is left. `before` is called before the
 * first connection. Rejects with `Unreachable` when the last host cannot be used either.
 */
type Open = (search: Search, before: () => void) => Promise<PeerSession | undefined>;

export class SmtpTransport implements Transport {
  readonly #options: SmtpTransportOptions;
  readonly #order: HostOrder;

  constructor(options: SmtpTransportOptions) {
    this.#options = options;
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
    throw isHopeless ? insecure(failed, last.attempt) : unreachable(last.error, last.attempt);
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

function mostSessions(last: Transaction): number {
  // Nothing was asked of a host that a message does not fit.
  if (last.unfit) return Number.POSITIVE_INFINITY;
  // Recipients that a second host refuses for now as well would be refused by all: greylisting, a full mailbox.
  return last.refusedAll ? 2 : MOST_SESSIONS;
}

type ChannelOptions = Pick<SmtpTransportOptions, 'settings' | 'smartHost' | 'log' | 'missing'> & {
  open: Open;
  /** Of the first message: the hosts that failed, and the one of the session. */
  search: Search;
  noteEnd: (target: Target, broken: boolean) => void;
};

class SmtpChannel implements Channel {
  #session: PeerSession;
  readonly #options: ChannelOptions;
  #used = false;
  #needsReset = false;
  broken: Reply | undefined;

  constructor(session: PeerSession, options: ChannelOptions) {
    this.#session = session;
    this.#options = options;
  }

  get usable(): boolean {
    return this.#session.connection.ended === undefined;
  }

  async send(job: Job, message: OpenedMessage): Promise<RecipientResult[]> {
    const used = this.#used;
    const first = new Transaction(
      this.#session,
      { job, recipients: job.recipients, message },
      this.#transactionOptions,
    );
    const results = await this.#run(first, used);
    if (first.further.length === 0 && first.elsewhere.length === 0) return results;
    const search = used ? new Search() : this.#options.search;
    search.tried.add(keyOf(this.#session.target));
    return this.#goOn({ job, message, search }, first, results);
  }

  /** Further transactions for those that are left: over the same session, then with other hosts. */
  async #goOn(
    { job, message, search }: { job: Job; message: OpenedMessage; search: Search },
    first: Transaction,
    firstResults: RecipientResult[],
  ): Promise<RecipientResult[]> {
    const results = new Map(firstResults.map((result) => [result.index, result]));
    let sessions = 1;
    let progress = false;
    let last = first;
    for (;;) {
      progress ||= last.further.length > 0;
      if (last.unfit) search.noteUnfit(this.#session.target.name);
      let recipients: readonly JobRecipient[] = last.further;
      if (recipients.length === 0 || !this.usable) {
        recipients = last.elsewhere;
        const reason = results.get(recipients[0]?.index ?? -1)?.outcome.reply;
        if (reason === undefined || sessions >= mostSessions(last)) break;
        if (!(await this.#move(job, search, reason))) break;
        sessions++;
      }
      last = new Transaction(this.#session, { job, recipients, message }, this.#transactionOptions);
      for (const result of await this.#run(last, false)) {
        // A host that deferred it may take it later: that this one never will is not the end.
        if (!last.unfit || results.get(result.index)?.state !== 'deferred') results.set(result.index, result);
      }
    }
    if (sessions > 1) this.close();
    const obstacle = last.unfit ? (search.obstacle ?? (await this.#options.missing?.())) : undefined;
    if (obstacle !== undefined) {
      for (const { index } of last.elsewhere) {
        const result = results.get(index);
        if (result?.state === 'failed') results.set(index, waiting(result, obstacle));
      }
    }
    const all = [...results.values()];
    return progress ? all.map((result) => (result.state === 'deferred' ? { ...result, progress } : result)) : all;
  }

  get #transactionOptions(): TransactionOptions {
    const { settings, log, smartHost } = this.#options;
    return { timeouts: settings().timeouts, log, smartHost };
  }

  async #run(transaction: Transaction, reused: boolean): Promise<RecipientResult[]> {
    try {
      const results = await transaction.run(this.#needsReset, reused);
      if (!transaction.local) this.#options.noteEnd(this.#session.target, transaction.broken !== undefined);
      return results;
    } finally {
      this.#used = true;
      this.#needsReset = transaction.needsReset;
      this.broken = transaction.broken;
    }
  }

  /** Leave this host, for a reason, for the next one; false where there is none that can be used. */
  async #move(job: Job, search: Search, reason: Reply): Promise<boolean> {
    const { connection } = this.#session;
    try {
      const session = await this.#options.open(search, () => connection.quit());
      if (session === undefined) return false;
      this.#session = session;
      this.#needsReset = false;
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      if (error.host === undefined && error.state === 'deferred') search.noteUnusable(undefined, error);
      return false;
    }
    this.#options.log.info(
      {
        queueId: job.queueId,
        trace: job.trace,
        peer: connection.peer,
        reply: formatReply(reason),
        next: this.#session.connection.peer,
      },
      'a host did not take a message, the next one is tried',
    );
    return true;
  }

  close(): void {
    this.#session.connection.quit();
  }

  destroy(reason: string): void {
    this.#session.connection.destroy(reason);
  }
}
