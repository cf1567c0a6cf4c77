import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { summarize } from '#shared/mail/authenticity.ts';
import { formatReply, type Reply } from '#shared/mail/reply.ts';
import type { Ending, IncomingMessage } from '../message/incoming-message.ts';
import type { MailTransaction } from './transaction.ts';

/** The log lines of a session; each names the session and its peer. */
export class SessionLog {
  readonly #log: Logger;
  readonly #session: { session: string; peer: string };

  constructor(log: Logger, session: string, peer: string) {
    this.#log = log;
    this.#session = { session, peer };
  }

  /** What goes over the wire, at level trace. */
  dialog(fields: { command: string } | { reply: string }): void {
    this.#log.trace({ ...this.#session, ...fields }, 'smtp');
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
    // Errors of sockets and TLS carry a code, as expected ones do; others are bugs.
    if (errorCode(error) !== undefined) this.#log.debug({ ...this.#session, error: errorText(error) }, what);
    else this.#log.error({ ...this.#session, err: error }, what);
  }
}
