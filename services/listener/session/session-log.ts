import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { summarize } from '#shared/mail/authenticity.ts';
import type { Origin } from '#shared/mail/envelope.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import { tlsText } from '#shared/mail/tls.ts';
import type { SessionPeer, SessionTranscript, Transcripts } from '#shared/transcript/transcripts.ts';
import type { Ending, IncomingMessage } from '../message/incoming-message.ts';
import type { MailTransaction } from './transaction.ts';

/** What administrators look on. */
export type Watched = { transcripts?: Transcripts | undefined };
type Client = { address: string; name: string | null; helo: string };
type Tls = { protocol: string; cipher: string } | undefined;

/** The log lines of a session; each names the session and its peer. And what is told to those who look on. */
export class SessionLog {
  readonly #log: Logger;
  readonly #session: { session: string; peer: string };
  readonly #client: () => Client;
  readonly #transcript: SessionTranscript | undefined;
  /** The name in an EHLO that is not answered yet. */
  #helo = '';

  constructor(deps: Watched & { log: Logger }, session: string, client: () => Client) {
    this.#log = deps.log;
    this.#client = client;
    this.#session = { session, peer: client().address };
    this.#transcript = deps.transcripts?.session(() => this.#peer(), session);
  }

  /** What goes over the wire, without secrets: at level trace, and to those who look on. */
  dialog(fields: { command: string } | { reply: string }): void {
    this.#log.trace({ ...this.#session, ...fields }, 'smtp');
    if (this.#transcript?.active !== true) return;
    if ('reply' in fields) this.#transcript.server(fields.reply);
    else {
      this.#helo = /^(?:EHLO|HELO) +(\S+)/i.exec(fields.command)?.[1] ?? this.#helo;
      this.#transcript.client(fields.command);
    }
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
    this.info('session ended', { listener, helo: client.helo, ...(tls && { tls: tlsText(tls) }), ...counted });
    this.#transcript?.ended('connection closed');
  }

  #peer(): SessionPeer {
    const { address, name, helo } = this.#client();
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

  /** The connection failed, or what serves it did. */
  failed(what: string, error: unknown): void {
    this.note(`${what}: ${errorText(error)}`);
    // Errors of sockets and TLS carry a code, as expected ones do; others are bugs.
    if (errorCode(error) !== undefined) this.#log.debug({ ...this.#session, error: errorText(error) }, what);
    else this.#log.error({ ...this.#session, err: error }, what);
  }
}
