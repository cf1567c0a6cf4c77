import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { summarize } from '#shared/mail/authenticity.ts';
import type { Origin } from '#shared/mail/envelope.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import { tlsText } from '#shared/mail/tls.ts';
import type { SessionPeer, SessionTranscript, Transcripts } from '#shared/transcript/transcripts.ts';
import type { Ending, IncomingMessage } from '../message/incoming-message.ts';
import { authenticity, bytes, countReply, messages, sessions } from '../metrics.ts';
import type { NewRefusal, Refusals } from '../refusals/refusals.ts';
import { type LoggedSession, refusalAt } from './session-refusal.ts';
import type { SessionReply } from './session-reply.ts';
import type { MailTransaction } from './transaction.ts';

/** What administrators look on. */
export type Watched = { transcripts?: Transcripts | undefined; refusals?: Refusals | undefined };
type Tls = { protocol: string; cipher: string } | undefined;

/**
 * The log lines of a session; each names the session and its peer. And what is told to those who look on, and those who ask
 * later why a mail was refused.
 */
export class SessionLog {
  readonly #log: Logger;
  readonly #session: { session: string; peer: string };
  readonly #state: LoggedSession;
  readonly #refusals: Refusals | undefined;
  readonly #transcript: SessionTranscript | undefined;
  /** The name in an EHLO that is not answered yet. */
  #helo = '';
  /** The last command, without secrets. */
  #command = '';
  /** What policy said about it. */
  #why: readonly string[] | undefined;
  #trace: string | undefined;
  /** The user that it named. */
  #tried: string | undefined;
  /** A refusal that is noted already. */
  #noted: SessionReply | undefined;

  constructor(deps: Watched & { log: Logger }, session: string, state: LoggedSession) {
    this.#log = deps.log;
    this.#state = state;
    this.#refusals = deps.refusals;
    this.#session = { session, peer: state.facts.client.address };
    this.#transcript = deps.transcripts?.session(() => this.#peer(), session);
  }

  /** What goes over the wire, without secrets: at level trace, and to those who look on. */
  command(command: string): void {
    this.#log.trace({ ...this.#session, command }, 'smtp');
    this.#command = command;
    this.#why = undefined;
    this.#trace = undefined;
    if (this.#transcript?.active !== true) return;
    this.#helo = /^(?:EHLO|HELO) +(\S+)/i.exec(command)?.[1] ?? this.#helo;
    this.#transcript.client(command);
  }

  /** `lines`: the reply as it goes over the wire. */
  replied(answer: SessionReply, lines: string): void {
    this.#log.trace({ ...this.#session, reply: lines }, 'smtp');
    countReply(this.#state.facts.listener, answer.code);
    if (answer.code >= 400 && 'text' in answer && answer !== this.#noted) this.#note({ reply: answer });
    if (this.#transcript?.active === true) this.#transcript.server(lines);
  }

  /** The reasoning of policy about the last command. */
  reasoned(why: readonly string[], trace: string | undefined): void {
    this.#why = why;
    this.#trace = trace;
  }

  /** The user that a client names to log in. */
  tries(user: string): void {
    this.#tried = user;
  }

  /** The client left in the middle of a message. */
  left({ queueId, size }: IncomingMessage, trace: string): void {
    const what = 'client left in the middle of a message';
    this.info(what, { queueId, trace, size });
    this.#note({ step: 'message', error: what, queueId });
  }

  #note(known: Partial<NewRefusal>): void {
    const refusal = this.#refusals && refusalAt(this.#command, this.#state, this.#tried);
    if (refusal === undefined || (known.reply !== undefined && refusal.isNews(known.reply) === false)) return;
    const { session } = this.#session;
    const { facts } = refusal;
    const [why, trace] = [this.#why, this.#trace ?? facts.trace];
    this.#refusals?.add({ ...facts, session, ...(why && { why: [...why] }), ...(trace && { trace }), ...known });
  }

  begun(listener: string, tls: Tls): void {
    this.note(`connected to listener ${listener}`);
    if (tls !== undefined) this.secured(tls);
  }

  secured(tls: Tls): void {
    this.note(`TLS: ${tls?.protocol} with ${tls?.cipher}`);
  }

  note(text: string): void {
    this.#transcript?.note(text);
  }

  ended({ listener, client, tls }: Origin, counted: { messages: number; errors: number; ms: number }): void {
    sessions.inc({ listener, tls: tls?.protocol ?? 'none' });
    this.info('session ended', { listener, helo: client.helo, ...(tls && { tls: tlsText(tls) }), ...counted });
    this.#transcript?.ended('connection closed');
  }

  #peer(): SessionPeer {
    const { address, name, helo } = this.#state.facts.client;
    const names = [name ?? '', helo, this.#helo].filter((known) => known !== '');
    return { address, names, text: names[0] === undefined ? address : `${names[0]}[${address}]` };
  }

  info(what: string, fields: object): void {
    this.#log.info({ ...this.#session, ...fields }, what);
  }

  warn(what: string, fields: object): void {
    this.#log.warn({ ...this.#session, ...fields }, what);
  }

  /** A refusal; returns its reply. */
  refused(what: string, reply: Reply, fields: object = {}): Reply {
    this.info(what, { ...fields, reply: formatReply(reply) });
    return reply;
  }

  /** The outcome of a message whose end was read. */
  message(incoming: IncomingMessage, trace: string, transaction: MailTransaction | undefined, ending: Ending): void {
    this.#transcript?.message(incoming.size);
    this.#count(incoming, ending);
    if (ending.reply.code >= 400 || ending.discarded) {
      const { reply, error, filters, discarded, messageId } = ending;
      this.#noted = reply;
      const known = { reply, error, filters, discarded, messageId, queueId: incoming.queueId };
      this.#note({ step: 'message', ...known });
    }
    const fields = {
      queueId: incoming.queueId,
      trace,
      from: transaction?.reversePath,
      recipients: transaction?.recipients.size,
      size: incoming.size,
      reply: formatReply(ending.reply),
      ...(ending.authenticity && summarize(ending.authenticity)),
      ...(ending.filters && { filters: ending.filters }),
    };
    if (ending.error !== undefined) this.warn('message deferred', { ...fields, error: ending.error });
    else if (ending.discarded) this.info('message discarded: a mail filter threw it away', fields);
    else this.info(ending.reply.code < 300 ? 'message accepted' : 'message refused', fields);
  }

  #count({ size }: IncomingMessage, { reply: { code }, discarded, authenticity: found }: Ending): void {
    const { listener } = this.#state.facts;
    const outcome = code >= 500 ? 'refused' : code >= 400 ? 'deferred' : discarded ? 'discarded' : 'accepted';
    messages.inc({ listener, outcome });
    if (outcome === 'accepted') bytes.inc({ listener }, size);
    if (found === undefined) return;
    for (const check of ['spf', 'arc', 'dmarc'] as const) authenticity.inc({ check, result: found[check].result });
    authenticity.inc({ check: 'dkim', result: dkimResult(found.dkim) });
  }

  /** The connection failed, or what serves it did. */
  failed(what: string, error: unknown): void {
    this.note(`${what}: ${errorText(error)}`);
    // Errors of sockets and TLS carry a code, as expected ones do; others are bugs.
    if (errorCode(error) !== undefined) this.#log.debug({ ...this.#session, error: errorText(error) }, what);
    else this.#log.error({ ...this.#session, err: error }, what);
  }
}

/** Of several signatures the best, as a mail with one that verifies has passed; `none` without a signature. */
function dkimResult(found: readonly { result: string }[]): string {
  return (found.find(({ result }) => result === 'pass') ?? found[0])?.result ?? 'none';
}
