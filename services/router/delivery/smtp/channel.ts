import type { Logger } from '#shared/log.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import { type Channel, Unreachable } from '../channel.ts';
import { keyOf } from '../hosts/host-order.ts';
import type { Job, JobRecipient, OpenedMessage, RecipientResult } from '../job.ts';
import type { Target } from '../tls-policy/wanted.ts';
import { Search, waiting, withOthers } from './search.ts';
import type { PeerSession, PeerSessionOptions } from './session.ts';
import type { ChunkingFaults } from './transaction/chunking.ts';
import type { Transfer } from './transaction/exchange.ts';
import { Transaction, type TransactionOptions } from './transaction/transaction.ts';

/**
 * A session that carries one message after the other.
 *
 * Where a transaction ends before the peer has the message and it has not refused for good, the next host is tried in the
 * same attempt: after a lost connection, 421, and 4yz to MAIL, DATA or every RCPT. A refusal of some recipients is about
 * them, not about the host. It is also tried where the message does not fit a host (transaction/fit.ts). Such a message
 * fails when it fits none; while a host that may take it cannot be used, it waits. The channel ends with a message that
 * moved on, so that the next one goes to the best host again.
 */

/** A session ends after so long, and so many transactions: hosts join and leave behind one address. */
const LONGEST_SESSION_MS = 300_000;
const MOST_TRANSACTIONS = 1000;

/** Hosts that one attempt sends to: one that limits us does so with all of its addresses (RFC 5321 §5.1: at least 2). */
const MOST_SESSIONS = 5;

/**
 * A session with the best of the hosts that were not tried; undefined where none is left. `before` is called before the
 * first connection. Rejects with `Unreachable` when the last host cannot be used either.
 */
export type Open = (search: Search, before: () => void) => Promise<PeerSession | undefined>;

function mostSessions(last: Transaction): number {
  // Nothing was asked of a host that a message does not fit.
  if (last.unfit) return Number.POSITIVE_INFINITY;
  // Recipients that a second host refuses for now as well would be refused by all: greylisting, a full mailbox.
  return last.refusedAll ? 2 : MOST_SESSIONS;
}

/** What is read at every use, so that a changed configuration takes effect immediately. */
export type SmtpSettings = Pick<PeerSessionOptions, 'hostname' | 'timeouts' | 'transcript'>;

export type SmtpChannelOptions = {
  /** The route names the host: a refused login or a demand for TLS is then a fault of our configuration. */
  smartHost: boolean;
  settings: () => SmtpSettings;
  log: Logger;
  /** Why a host that may be there later is not among the targets; undefined: all of them are. */
  missing?: () => Promise<Unreachable | undefined>;
  open: Open;
  /** Of the first message: the hosts that failed, and the one of the session. */
  search: Search;
  noteEnd: (target: Target, broken: boolean) => void;
  chunkingFaults: ChunkingFaults;
};

export class SmtpChannel implements Channel {
  #session: PeerSession;
  readonly #options: SmtpChannelOptions;
  #used = false;
  /** When the session began, in ms of `performance.now()`, and its transactions so far. */
  #since = performance.now();
  #transactions = 0;
  #needsReset = false;
  /** BDAT was sent on this session, and taken. */
  #chunks = false;
  broken: Reply | undefined;

  constructor(session: PeerSession, options: SmtpChannelOptions) {
    this.#session = session;
    this.#options = options;
  }

  get usable(): boolean {
    return this.#session.connection.ended === undefined;
  }

  async send(job: Job, message: OpenedMessage): Promise<RecipientResult[]> {
    try {
      return await this.#send(job, message);
    } finally {
      if (this.#isFull || performance.now() - this.#since > LONGEST_SESSION_MS) this.close();
    }
  }

  /** No further transaction may begin on the session (RFC 9422 §4.1). */
  get #isFull(): boolean {
    return this.#transactions >= Math.min(this.#session.peer.limits.mail, MOST_TRANSACTIONS);
  }

  async #send(job: Job, message: OpenedMessage): Promise<RecipientResult[]> {
    const used = this.#used;
    const first = new Transaction(
      this.#session,
      { job, recipients: job.recipients, message },
      this.#transactionOptions(used ? this.#transfer : 'data'),
    );
    const results = await this.#run(first, used);
    const known = used ? undefined : this.#options.search;
    if (first.further.length === 0 && first.elsewhere.length === 0) {
      return known === undefined ? results : results.map((result) => withOthers(result, known.heard));
    }
    const search = known ?? new Search();
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
    /** How many of the hosts in `search.heard` were tried before a recipient got its result. */
    const heard = new Map(firstResults.map(({ index }) => [index, search.heard.length]));
    let said = firstResults;
    let sessions = 1;
    let progress = false;
    let last = first;
    for (;;) {
      progress ||= last.tookFew || (last.further.length > 0 && this.#isFull);
      if (last.unfit) search.noteUnfit(this.#session.target.name);
      let recipients: readonly JobRecipient[] = last.further;
      if (recipients.length === 0 || !this.usable || this.#isFull) {
        recipients = last.elsewhere;
        const reason = said.find(({ index }) => index === recipients[0]?.index)?.outcome;
        if (reason === undefined) break;
        search.note(reason);
        if (sessions >= mostSessions(last) || !(await this.#move(job, search, reason.reply))) break;
        sessions++;
      }
      last = new Transaction(this.#session, { job, recipients, message }, this.#transactionOptions('data'));
      said = await this.#run(last, false);
      for (const result of said) {
        heard.set(result.index, search.heard.length);
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
    for (const { index } of last.elsewhere) heard.delete(index);
    const all = [...results.values()].map((result) =>
      withOthers(result, search.heard.slice(0, heard.get(result.index))),
    );
    return progress ? all.map((result) => (result.state === 'deferred' ? { ...result, progress } : result)) : all;
  }

  #transactionOptions(transfer: Transfer): TransactionOptions {
    const { settings, log, smartHost } = this.#options;
    return { timeouts: settings().timeouts, log, smartHost, reset: this.#needsReset, transfer };
  }

  get #transfer(): Transfer {
    const { peer, protocol, target } = this.#session;
    if (!peer.chunking || !peer.pipelining || protocol === 'lmtp') return 'data';
    if (this.#options.chunkingFaults.has(keyOf(target))) return 'data';
    return this.#chunks ? 'chunk' : 'one-byte';
  }

  async #run(transaction: Transaction, reused: boolean): Promise<RecipientResult[]> {
    try {
      const results = await transaction.run(reused);
      if (!transaction.local) this.#options.noteEnd(this.#session.target, transaction.broken !== undefined);
      return results;
    } finally {
      this.#used = true;
      this.#transactions++;
      this.#needsReset = transaction.needsReset;
      this.broken = transaction.broken;
      if (transaction.chunking !== undefined) this.#noteChunking(transaction.chunking === 'works');
    }
  }

  #noteChunking(works: boolean): void {
    const { connection, target } = this.#session;
    this.#chunks = works;
    if (works) return;
    this.#options.chunkingFaults.note(keyOf(target));
    this.#options.log.info(
      { peer: connection.peer },
      'a host offers CHUNKING and did not take a message that way, it gets its mail by DATA for an hour',
    );
  }

  /** Leave this host, for a reason, for the next one; false where there is none that can be used. */
  async #move(job: Job, search: Search, reason: Reply): Promise<boolean> {
    const { connection } = this.#session;
    try {
      const session = await this.#options.open(search, () => connection.quit());
      if (session === undefined) return false;
      this.#session = session;
      this.#since = performance.now();
      this.#transactions = 0;
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
