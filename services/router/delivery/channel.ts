import { errorCode, errorText } from '#shared/errors.ts';
import type { TriedHost } from '#shared/mail/attempt.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import type { Protection } from '#shared/mail/tls.ts';
import type { Job, JobRecipient, OpenedMessage, RecipientResult } from './job.ts';

/** What a destination knows of a way to deliver: how to get a channel, and what a channel can do. */

/** A way to the next hop that carries one message after the other: an SMTP connection, a folder. */
export type Channel = {
  /**
   * Carry one message. Resolves to one result for each recipient, whatever happens. Rejects with `StaleChannel` only.
   */
  send(job: Job, message: OpenedMessage): Promise<RecipientResult[]>;
  /** Whether it can carry another message. */
  readonly usable: boolean;
  /** Why the last transaction broke off (the peer hung up, timed out, or broke the protocol), if it did. */
  readonly broken: Reply | undefined;
  /** End it in an orderly way. */
  close(): void;
  /** End it immediately; a `send` under way resolves with its recipients deferred. */
  destroy(reason: string): void;
};

export type Transport = {
  /** Rejects with `Unreachable` only. */
  connect(signal: AbortSignal): Promise<Channel>;
};

/** No channel to the destination can be had: what that means for every message that waits for one. */
export class Unreachable extends Error {
  readonly state: 'deferred' | 'failed';
  readonly reply: Reply;
  /** The cause lies on this node, not with the destination. */
  readonly local: boolean;
  readonly host: string | undefined;
  /** What was wanted of TLS, where that is the reason. */
  readonly protection: Protection | undefined;
  /** `failed` only: no host can do what the message asks of TLS. */
  readonly insecure: boolean;
  /** The other hosts that were tried. */
  readonly others: readonly TriedHost[];

  constructor(
    state: 'deferred' | 'failed',
    kept: Reply,
    options: {
      local?: boolean;
      host?: string | undefined;
      protection?: Protection;
      insecure?: boolean;
      others?: readonly TriedHost[];
    } = {},
  ) {
    super(kept.text);
    this.name = 'Unreachable';
    this.state = state;
    this.reply = kept;
    this.local = options.local ?? false;
    this.host = options.host;
    this.protection = options.protection;
    this.insecure = options.insecure ?? false;
    this.others = options.others ?? [];
  }
}

/**
 * A reused channel turned out to be closed before it took anything of the message: not a failure, a fresh one is tried.
 */
export class StaleChannel extends Error {
  constructor(options: { cause: unknown }) {
    super('the connection was closed while it was idle', options);
    this.name = 'StaleChannel';
  }
}

/** The same result for every recipient of a job, or for some of them. */
export function allRecipients(
  job: Job,
  result: Omit<RecipientResult, 'index' | 'outcome'> & {
    reply: Reply;
    host?: string | undefined;
    protection?: Protection | undefined;
  },
  recipients: readonly JobRecipient[] = job.recipients,
): RecipientResult[] {
  const at = Date.now();
  const { host, protection } = result;
  const outcome = {
    ...{ at, reply: result.reply },
    ...(host !== undefined && { host }),
    ...(protection !== undefined && { protection }),
  };
  return recipients.map(({ index }) => ({
    index,
    state: result.state,
    outcome,
    ...(result.local === true ? { local: true } : {}),
    ...(result.insecure === true ? { insecure: true } : {}),
    ...(result.others !== undefined && result.others.length > 0 && { others: result.others }),
    ...(result.notice === undefined ? {} : { notice: result.notice }),
  }));
}

/**
 * The reply where reading a message ended because another node may have it by now (queue/attempt.ts); undefined for any other
 * error.
 */
export function notOurs(error: unknown): Reply | undefined {
  return error instanceof Error && errorCode(error) === 'not-ours' ? reply(451, '4.3.2', error.message) : undefined;
}

/**
 * The reply for a message that could not be written to disk: never more than a delay (RFC 3463 §3.4: X.3.1 system full).
 */
export function diskTrouble(error: unknown, doing: string): Reply {
  const left = notOurs(error);
  if (left !== undefined) return left;
  const code = errorCode(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return reply(full ? 452 : 451, full ? '4.3.1' : '4.3.0', `${doing}: ${errorText(error)}`);
}
