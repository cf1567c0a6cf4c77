import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { isIntermediate, isPositive, LOCAL_ERROR, type Reply, reply } from '#shared/mail/reply.ts';
import { StaleChannel } from '../channel.ts';
import type { Job, JobRecipient, OpenedMessage, RecipientResult } from '../job.ts';
import { isSendable, mailCommand, rcptCommand } from './commands.ts';
import type { Timeouts } from './connection.ts';
import { DotStuffer } from './dot-stuffing.ts';
import { ConnectionEnded } from './errors.ts';
import { fitForPeer } from './fit.ts';
import type { PeerSession } from './session.ts';
import { decisiveReply, isAboutSession, isAccepted, isOneTooMany, isWelcome, type Verdict } from './verdict.ts';

/**
 * One message over one session (RFC 5321 §3.3; RFC 2033 for LMTP).
 *
 * `envelope`: MAIL, every RCPT and DATA are out, in one write where the peer pipelines (RFC 2920), else one by one. →
 * `body` when a recipient was accepted and DATA was answered 354; otherwise it is over. `body`: the message is on its
 * way. A reply before the final dot is a refusal. → `final` with the final dot. `final`: the peer has all of it; its
 * reply (LMTP: one for each accepted recipient) decides. If none comes, the message may have been accepted: it is sent
 * again, and the log says `possible duplicate`.
 *
 * Whatever ends it early leaves the verdicts that were given as they are, and defers the other recipients. Before the
 * final dot the peer does not have the message, so another host may take those that it deferred, or all where the message
 * does not fit the peer (`elsewhere`); after it none may, since they could get the message twice. Recipients that were too
 * many for this transaction may get one of their own over the same session (`further`).
 */

export type TransactionOptions = { timeouts: Timeouts; log: Logger; smartHost: boolean };

/** Bytes handed to the socket before we wait for it to accept them. */
const BACKLOG_BYTES = 256 * 1024;
/** The slowest reader of a body that is tolerated, in bytes a second beyond the data time-out. */
const LEAST_BYTES_PER_SECOND = 4096;

export class Transaction {
  readonly #session: PeerSession;
  readonly #job: Job;
  readonly #recipients: readonly JobRecipient[];
  #message: OpenedMessage;
  readonly #options: TransactionOptions;
  readonly #verdicts: Verdict[] = [];
  readonly #results: RecipientResult[] = [];
  #mail: Reply | undefined;
  #data: Reply | undefined;
  #early: Reply | undefined;
  #finalDot = false;
  /** Why the transaction broke off, for logs and for the destination's back-off. */
  broken: Reply | undefined;
  /** The cause that ended it lies on this node. */
  local = false;
  /** Recipients that were one too many, where the peer has decided about others: the next transaction is for them. */
  readonly further: JobRecipient[] = [];
  /** The peer can never take this message, and nothing was sent; another host may. */
  unfit = false;
  /** Recipients that another host may take now. */
  readonly elsewhere: JobRecipient[] = [];
  /** The peer may still hold an envelope of ours: RSET must precede the next MAIL. */
  needsReset = false;

  /** `recipients`: all of the job, or those that are left of it. */
  constructor(
    session: PeerSession,
    { job, recipients, message }: { job: Job; recipients: readonly JobRecipient[]; message: OpenedMessage },
    options: TransactionOptions,
  ) {
    this.#session = session;
    this.#job = job;
    this.#recipients = recipients;
    this.#message = message;
    this.#options = options;
  }

  /**
   * Run it, once. `reset`: RSET goes first. `reused`: the session was idle before; if it ends before the reply to MAIL,
   * this rejects with `StaleChannel`.
   */
  async run(reset: boolean, reused: boolean): Promise<RecipientResult[]> {
    // What an earlier transaction left is there until something is sent.
    this.needsReset = reset;
    if (this.#job.reversePath !== '' && !isSendable(this.#job.reversePath)) {
      return this.#all('failed', reply(553, '5.1.7', 'the reverse-path cannot be written in a command'));
    }
    const fit = await fitForPeer(this.#session, this.#job, this.#message);
    if (!fit.ok) {
      this.unfit = fit.state === 'failed';
      return this.#all(fit.state, fit.reply, fit.local);
    }
    this.#message = fit;
    for (const recipient of this.#recipients) {
      if (isSendable(recipient.recipient.address)) {
        this.#verdicts.push({ recipient, rcpt: undefined, final: undefined });
      } else {
        this.#settle(recipient, 'failed', reply(553, '5.1.3', 'the address cannot be written in a command'));
      }
    }
    if (this.#verdicts.length === 0) return this.#results;
    try {
      await this.#envelope(reset);
      await this.#proceed();
    } catch (error) {
      if (reused && this.#mail === undefined && isHangUp(error)) throw new StaleChannel({ cause: error });
      this.#brokeOff(error);
    }
    return this.#conclude();
  }

  /** The peer took the sender and refused every recipient. */
  get refusedAll(): boolean {
    return isAccepted(this.#mail) && this.#verdicts.every(({ rcpt }) => rcpt !== undefined && !isAccepted(rcpt));
  }

  #all(state: RecipientResult['state'], said: Reply, local = false): RecipientResult[] {
    for (const recipient of this.#recipients) this.#settle(recipient, state, said, local);
    return this.#results;
  }

  async #envelope(reset: boolean): Promise<void> {
    const { connection, peer, requireTls } = this.#session;
    const { command } = this.#options.timeouts;
    const first = reset ? 1 : 0;
    const lines = reset ? ['RSET\r\n'] : [];
    this.needsReset = false;
    lines.push(mailCommand(this.#job, this.#message.size, peer, requireTls));
    for (const verdict of this.#verdicts) lines.push(rcptCommand(verdict.recipient.recipient, peer));
    lines.push('DATA\r\n');
    if (peer.pipelining) {
      connection.write(lines.join(''));
      connection.expect(lines.length, 'replies to MAIL, RCPT and DATA', command, (said, index) => {
        this.#heard(said, index - first);
      });
      await connection.replies();
      return;
    }
    for (const [index, line] of lines.entries()) {
      const isData = index === lines.length - 1;
      if (isData && !this.#verdicts.some(isWelcome)) break;
      const { reply: said } = await connection.command(line, line.slice(0, 4), command);
      this.#heard(said, index - first);
      if (index === first && !isPositive(said)) return;
    }
  }

  /** The reply to a command of the envelope: -1 RSET, 0 MAIL, then every RCPT, then DATA. */
  #heard(said: Reply, index: number): void {
    if (index < 0) return;
    const verdict = this.#verdicts[index - 1];
    if (index === 0) this.#mail = said;
    else if (verdict !== undefined) verdict.rcpt = said;
    else this.#data = said;
  }

  async #proceed(): Promise<void> {
    const { connection, protocol } = this.#session;
    const said = [this.#mail, ...this.#verdicts.map((verdict) => verdict.rcpt)];
    const odd =
      said.find((r) => r !== undefined && isIntermediate(r)) ?? (isAccepted(this.#data) ? this.#data : undefined);
    // 3xx for MAIL or RCPT, 2xx for DATA: how the peer would read our next bytes is unknown now.
    if (odd !== undefined)
      throw connection.protocolError(`${connection.peer} answered out of place: "${odd.code} ${odd.text}"`);
    if (this.#data === undefined || !isIntermediate(this.#data)) {
      this.needsReset = isAccepted(this.#mail);
      return;
    }
    if (isAccepted(this.#mail) && this.#verdicts.some(isWelcome)) {
      await this.#body();
      return;
    }
    // RFC 2033 §4.2: LMTP has to refuse DATA without an accepted recipient, and any peer has to after a refused MAIL.
    if (protocol === 'lmtp' || !isAccepted(this.#mail)) {
      throw connection.protocolError(`${connection.peer} asked for a message for which it accepted no recipient`);
    }
    // RFC 2920 §3.1: no recipient was accepted, but DATA was: a lone dot ends the message, which goes to none.
    await connection.command('.\r\n', 'the reply to an empty message for no recipient', this.#options.timeouts.data);
  }

  async #body(): Promise<void> {
    const { connection, protocol } = this.#session;
    const { command, data } = this.#options.timeouts;
    const accepted = this.#verdicts.filter(isWelcome);
    const count = protocol === 'lmtp' ? accepted.length : 1;
    connection.expect(count, 'the reply to the message', data, (said, index) => {
      if (!this.#finalDot) this.#early ??= said;
      else if (protocol === 'smtp') for (const verdict of accepted) verdict.final = said;
      // RFC 2033 §4.2: one reply for each accepted recipient, in the order of RCPT.
      else for (const verdict of accepted.slice(index, index + 1)) verdict.final = said;
    });
    connection.within(command, data + (this.#message.size / LEAST_BYTES_PER_SECOND) * 1000);
    const stuffer = new DotStuffer();
    connection.cork();
    for await (const chunk of this.#message.read()) {
      connection.write(stuffer.push(chunk));
      if (connection.backlog < BACKLOG_BYTES) continue;
      connection.uncork();
      await connection.drained();
      if (this.#early !== undefined) break;
      connection.cork();
    }
    if (this.#early !== undefined) {
      this.#refusedEarly(this.#early, accepted);
      return;
    }
    if (connection.ended !== undefined) throw connection.ended;
    connection.write(stuffer.end());
    this.#finalDot = true;
    connection.uncork();
    connection.within(data, data * count);
    await connection.replies();
    const odd = accepted.find(({ final }) => final !== undefined && isIntermediate(final))?.final;
    if (odd !== undefined) throw connection.protocolError(`${connection.peer} answered the message with ${odd.code}`);
  }

  /** The peer refuses before the end. Without the final dot it has no message, so its reply is the last word. */
  #refusedEarly(said: Reply, accepted: readonly Verdict[]): void {
    const { connection } = this.#session;
    if (said.code < 400) {
      throw connection.protocolError(`${connection.peer} answered ${said.code} before the message had ended`);
    }
    for (const verdict of accepted) verdict.final = said;
    connection.destroy('the peer refused the message before its end');
  }

  #brokeOff(error: unknown): void {
    const { connection } = this.#session;
    const context = { queueId: this.#job.queueId, trace: this.#job.trace, peer: connection.peer };
    if (!(error instanceof ConnectionEnded)) {
      // The message cannot be read. It has no final dot yet, so closing makes the peer forget it (RFC 5321 §4.1.1.4).
      connection.destroy('the message cannot be read');
      this.#options.log.error(
        { ...context, error: errorText(error) },
        'a queued message cannot be read: sending it was broken off',
      );
      this.broken = reply(LOCAL_ERROR.code, '4.3.0', `cannot read the queued message: ${errorText(error)}`);
      this.local = true;
      return;
    }
    this.broken = error.reply;
    this.local = error.reason === 'local';
    if (this.#finalDot && error.reason !== 'said') {
      this.#options.log.warn({ ...context, error: error.message }, 'possible duplicate: no reply to the final dot');
    }
  }

  #conclude(): RecipientResult[] {
    const someWelcome = this.#verdicts.some(isWelcome);
    const common = { mail: this.#mail, data: this.#data };
    const tooMany: JobRecipient[] = [];
    for (const verdict of this.#verdicts) {
      const { recipient } = verdict;
      const said = decisiveReply(verdict, common);
      if (said === undefined) {
        const kept = this.broken ?? reply(451, '4.4.2', 'the transaction ended without a reply');
        this.#settle(recipient, 'deferred', kept, this.local);
      } else if (said === verdict.rcpt && someWelcome && isOneTooMany(said)) {
        this.#settle(recipient, 'deferred', said);
        tooMany.push(recipient);
      } else if (isAboutSession(said)) {
        this.#settle(recipient, 'deferred', said, this.#options.smartHost);
        // The fault of our configuration with this host is none of the next one.
        if (this.#options.smartHost && !this.#finalDot) this.elsewhere.push(recipient);
      } else {
        this.#settle(recipient, isPositive(said) ? 'delivered' : said.code < 500 ? 'deferred' : 'failed', said);
      }
    }
    if (this.#finalDot && this.#results.some(({ state }) => state !== 'deferred')) this.further.push(...tooMany);
    return this.#results;
  }

  #settle(recipient: JobRecipient, state: RecipientResult['state'], said: Reply, local = false): void {
    const { connection, peer, protocol, protection } = this.#session;
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
    else if ((state === 'deferred' || this.unfit) && !this.#finalDot) this.elsewhere.push(recipient);
    this.#results.push(result);
  }
}

/** The peer closed, or sent 421: nothing of the message was accepted. */
function isHangUp(error: unknown): boolean {
  return error instanceof ConnectionEnded && (error.reason === 'closed' || error.reason === 'said');
}
