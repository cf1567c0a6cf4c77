import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { isPositive, LOCAL_ERROR, type Reply, reply } from '#shared/mail/reply.ts';
import { duplicates } from '../../../metrics.ts';
import { isBlock } from '../../backoff/replies.ts';
import { notOurs, StaleChannel } from '../../channel.ts';
import type { Job, JobRecipient, OpenedMessage, RecipientResult } from '../../job.ts';
import type { Timeouts } from '../connection.ts';
import { ConnectionEnded } from '../errors.ts';
import type { PeerSession } from '../session.ts';
import { isFaultOfChunking, piecesOf, sendByteFirst, sendChunk, transferOf } from './chunking.ts';
import { isSendable, mailCommand, rcptCommand, within } from './commands.ts';
import { sendByData } from './data.ts';
import { Exchange, type Transfer } from './exchange.ts';
import { fitForPeer } from './fit.ts';
import { decisiveReply, isAboutSession, isAccepted, isOneTooMany, isWelcome } from './verdict.ts';

/**
 * One message over one session (RFC 5321 §3.3; RFC 2033 for LMTP).
 *
 * `envelope`: MAIL, every RCPT and DATA are out, in one write where the peer pipelines (RFC 2920), else one by one. →
 * `body` when a recipient was accepted and DATA was answered 354; otherwise it is over. `body`: the message is on its
 * way. A reply before the final dot is a refusal. → `final` with the final dot. `final`: the peer has all of it; its
 * reply (LMTP: one for each accepted recipient) decides. If none comes, the message may have been accepted: it is sent
 * again, and the log says `possible duplicate`.
 *
 * By CHUNKING (chunking.ts) the message follows MAIL and RCPT in the same write. The replies to them decide whether the
 * peer can have it: it cannot without a recipient that it accepted, nor where it said 421 before its answer to BDAT.
 *
 * Whatever ends it early leaves the verdicts that were given as they are, and defers the other recipients. Before the
 * final dot the peer does not have the message, so another host may take those that it deferred, or all where the message
 * does not fit the peer (`elsewhere`); after it none may, since they could get the message twice. Recipients that were too
 * many for this transaction may get one of their own over the same session (`further`).
 */

export type TransactionOptions = {
  timeouts: Timeouts;
  log: Logger;
  smartHost: boolean;
  /** RSET goes first. */
  reset: boolean;
  /** How a message that is not large may go. */
  transfer: Transfer;
};

export class Transaction {
  readonly #exchange: Exchange;
  readonly #job: Job;
  readonly #recipients: readonly JobRecipient[];
  #message: OpenedMessage;
  readonly #options: TransactionOptions;
  readonly #results: RecipientResult[] = [];
  /** Why the transaction broke off, for logs and for the destination's back-off. */
  broken: Reply | undefined;
  /** The cause that ended it lies on this node. */
  local = false;
  /**
   * The next transaction is for them: recipients that were one too many, where the peer has decided about others, and those
   * beyond the limits of the peer.
   */
  readonly further: JobRecipient[] = [];
  /** The peer took fewer recipients than it got. */
  tookFew = false;
  readonly #beyond: JobRecipient[] = [];
  /** The peer can never take this message, and nothing was sent; another host may. */
  unfit = false;
  /** Recipients that another host may take now. */
  readonly elsewhere: JobRecipient[] = [];

  /** `recipients`: all of the job, or those that are left of it. */
  constructor(
    session: PeerSession,
    { job, recipients, message }: { job: Job; recipients: readonly JobRecipient[]; message: OpenedMessage },
    options: TransactionOptions,
  ) {
    this.#exchange = new Exchange(session, options.timeouts, options.reset);
    this.#job = job;
    this.#recipients = recipients;
    this.#message = message;
    this.#options = options;
  }

  /**
   * Run it, once. `reused`: the session was idle before. Rejects with `StaleChannel` where it ends before the reply to MAIL
   * then, or the peer offers CHUNKING and refuses it.
   */
  async run(reused: boolean): Promise<RecipientResult[]> {
    if (this.#job.reversePath !== '' && !isSendable(this.#job.reversePath)) {
      return this.#all('failed', reply(553, '5.1.7', 'the reverse-path cannot be written in a command'));
    }
    const fit = await fitForPeer(this.#exchange.session, this.#job, this.#message);
    if (!fit.ok) {
      this.unfit = fit.state === 'failed';
      return this.#all(fit.state, fit.reply, fit.local);
    }
    this.#message = fit;
    const { verdicts, session } = this.#exchange;
    const isWithin = within(session.peer.limits);
    for (const recipient of this.#recipients) {
      if (!isSendable(recipient.recipient.address)) {
        this.#settle(recipient, 'failed', reply(553, '5.1.3', 'the address cannot be written in a command'));
      } else if (isWithin(recipient.recipient.address)) {
        verdicts.push({ recipient, rcpt: undefined, final: undefined });
      } else {
        this.#beyond.push(recipient);
      }
    }
    if (verdicts.length === 0) return this.#results;
    try {
      await this.#send(this.#exchange);
    } catch (error) {
      if (error instanceof StaleChannel) throw error;
      const hungUp = reused && this.#exchange.mail === undefined && isHangUp(error);
      this.#brokeOff(error, hungUp);
      if (hungUp) throw new StaleChannel({ cause: error });
    }
    return this.#conclude();
  }

  /** The peer took the sender and refused every recipient. */
  get refusedAll(): boolean {
    const { mail, verdicts } = this.#exchange;
    return isAccepted(mail) && verdicts.every(({ rcpt }) => rcpt !== undefined && !isAccepted(rcpt));
  }

  /** The peer may still hold an envelope of ours: RSET must precede the next MAIL. */
  get needsReset(): boolean {
    return this.#exchange.needsReset;
  }

  /** What was found out about the CHUNKING of the peer. */
  get chunking(): 'works' | 'fails' | undefined {
    return this.#exchange.chunking;
  }

  #all(state: RecipientResult['state'], said: Reply, local = false): RecipientResult[] {
    for (const recipient of this.#recipients) this.#settle(recipient, state, said, local);
    return this.#results;
  }

  async #send(exchange: Exchange): Promise<void> {
    const { peer, requireTls } = exchange.session;
    const transfer = transferOf(this.#options.transfer, this.#message.size);
    const chunk = transfer === 'data' ? undefined : await piecesOf(this.#message);
    exchange.transfer = transfer;
    exchange.needsReset = false;
    const lines = exchange.reset ? ['RSET\r\n'] : [];
    lines.push(mailCommand(this.#job, this.#message.size, peer, requireTls));
    for (const { recipient } of exchange.verdicts) lines.push(rcptCommand(recipient.recipient, peer));
    if (chunk === undefined) await sendByData(exchange, lines, this.#message);
    else if (transfer === 'chunk') await sendChunk(exchange, lines, chunk);
    else await sendByteFirst(exchange, lines, chunk, this.#message);
  }

  /** `hungUp`: on a session that was idle, before its first reply. */
  #brokeOff(error: unknown, hungUp: boolean): void {
    const exchange = this.#exchange;
    const { connection } = exchange.session;
    const context = { queueId: this.#job.queueId, trace: this.#job.trace, peer: connection.peer };
    if (!(error instanceof ConnectionEnded)) {
      // It has no final dot yet, so closing makes the peer forget it (RFC 5321 §4.1.1.4).
      connection.destroy('the message is not sent to its end');
      this.broken = this.#notRead(error, context);
      this.local = true;
      return;
    }
    this.broken = error.reply;
    this.local = error.reason === 'local';
    if (exchange.refused) exchange.handedOver = false;
    else if (isFaultOfChunking(exchange, error.reason, hungUp)) exchange.chunking = 'fails';
    if (error.reason === 'said' && exchange.verdicts.some(({ rcpt }) => rcpt === undefined))
      exchange.handedOver = false;
    // The session had ended before the message was written. One that ends without a reply to a pipelined batch may have taken
    // it: many write their replies to all of it at once (RFC 2920 §3.2).
    const unwritten = hungUp && errorCode(error.cause) === 'EPIPE';
    if (exchange.handedOver && error.reason !== 'said' && !unwritten) {
      duplicates.inc();
      this.#options.log.warn({ ...context, error: error.message }, 'possible duplicate: no reply to the message');
    }
  }

  /** The rest of the message is not to be had, or is not for this node to send. */
  #notRead(error: unknown, context: Record<string, string>): Reply {
    const left = notOurs(error);
    if (left === undefined) {
      const fields = { ...context, error: errorText(error) };
      this.#options.log.error(fields, 'a queued message cannot be read: sending it was broken off');
      return reply(LOCAL_ERROR.code, '4.3.0', `cannot read the queued message: ${errorText(error)}`);
    }
    const fields = { ...context, error: left.text };
    this.#options.log.info(fields, 'sending a message was broken off: another node may deliver it by now');
    return left;
  }

  #conclude(): RecipientResult[] {
    const { verdicts, handedOver } = this.#exchange;
    const someWelcome = verdicts.some(isWelcome);
    const tooMany: JobRecipient[] = [];
    for (const verdict of verdicts) {
      const { recipient } = verdict;
      const said = decisiveReply(verdict, this.#exchange);
      if (said === undefined) {
        const kept = this.broken ?? reply(451, '4.4.2', 'the transaction ended without a reply');
        this.#settle(recipient, 'deferred', kept, this.local);
      } else if (said === verdict.rcpt && someWelcome && isOneTooMany(said)) {
        this.#settle(recipient, 'deferred', said);
        tooMany.push(recipient);
      } else if (said === this.#exchange.mail && isBlock(said)) {
        this.#settle(recipient, 'deferred', said);
      } else if (isAboutSession(said)) {
        this.#settle(recipient, 'deferred', said, this.#options.smartHost);
        // The fault of our configuration with this host is none of the next one.
        if (this.#options.smartHost && !handedOver) this.elsewhere.push(recipient);
      } else {
        this.#settle(recipient, isPositive(said) ? 'delivered' : said.code < 500 ? 'deferred' : 'failed', said);
      }
    }
    this.tookFew = handedOver && tooMany.length > 0 && this.#results.some(({ state }) => state !== 'deferred');
    if (this.tookFew) this.further.push(...tooMany);
    this.#concludeBeyond();
    return this.#results;
  }

  /** The peer was not asked about them yet. */
  #concludeBeyond(): void {
    const { connection } = this.#exchange.session;
    const isOver = connection.ended !== undefined;
    const why = this.broken ?? reply(451, '4.5.3', `${connection.peer} takes fewer recipients at a time (LIMITS)`);
    for (const recipient of this.#beyond) {
      this.#results.push(this.#resultOf(recipient, 'deferred', why, this.local));
      if (!isOver) this.further.push(recipient);
      else if (!this.local) this.elsewhere.push(recipient);
    }
  }

  #settle(recipient: JobRecipient, state: RecipientResult['state'], said: Reply, local = false): void {
    this.#results.push(this.#resultOf(recipient, state, said, local));
    if (!local && (state === 'deferred' || this.unfit) && !this.#exchange.handedOver) this.elsewhere.push(recipient);
  }

  #resultOf(recipient: JobRecipient, state: RecipientResult['state'], said: Reply, local: boolean): RecipientResult {
    const { connection, peer, protocol, protection } = this.#exchange.session;
    const { converted } = this.#message;
    const outcome = {
      ...{ at: Date.now(), host: connection.peer, reply: said },
      ...(converted && { converted }),
      ...(connection.tls !== undefined && { tls: connection.tls }),
      protection,
    };
    const result: RecipientResult = { index: recipient.index, state, outcome };
    // RFC 3461 §5.2.1, §5.2.2. An LMTP server delivers finally (RFC 2033 §2), so without DSN the notice is ours to
    // send.
    if (state === 'delivered') result.notice = peer.dsn ? 'passed' : protocol === 'lmtp' ? 'final' : 'relayed';
    if (local) result.local = true;
    return result;
  }
}

/** The peer closed, or sent 421: nothing of the message was accepted. */
function isHangUp(error: unknown): boolean {
  return error instanceof ConnectionEnded && (error.reason === 'closed' || error.reason === 'said');
}
