import { z } from 'zod';
import { Reply } from './reply.ts';
import { ClientTls, Protection } from './tls.ts';

/**
 * The envelope of a message and the fate of each recipient, in the form that crosses the bus and lies on disk.
 */

export const DsnNotify = z.enum(['NEVER', 'SUCCESS', 'FAILURE', 'DELAY']);

/** One RCPT: where the mail goes, and what the sender asked to hear (RFC 3461 §4.1, §4.2). */
export const EnvelopeRecipient = z.object({
  /** Where to deliver: the address after aliases, with a normalized domain. */
  address: z.string().min(1),
  /** The address that RCPT named, where an alias changed it. */
  original: z.string().optional(),
  /** ORCPT as received, decoded: `rfc822;user@example.com`. */
  orcpt: z.string().optional(),
  notify: z.array(DsnNotify).optional(),
  /**
   * `original` stands for several recipients, and its sender asked to hear of success: there is a report on the address
   * itself, `expanded` for an alias, `delivered` for a mailing list (RFC 3461 §5.2.7), and none of success for each recipient.
   */
  list: z.enum(['expanded', 'delivered']).optional(),
  /** The reverse-path of the mail to this recipient, where it is not that of the envelope: that of SRS, or of a list. */
  reversePath: z.string().optional(),
  /** Where our own notices about this recipient go, if not to the envelope's reverse-path: the owner of a list, a mailbox. */
  reportTo: z.string().optional(),
  /** Mail to this recipient goes to the mailbox although the message is marked as junk. */
  neverJunk: z.boolean().optional(),
  /** A rule of the queue has its mail take the route of this domain. */
  routeOf: z.string().optional(),
  /** The rule of the queue that redirected its mail: to `address`, or to the route of `routeOf`. */
  redirectedBy: z.string().optional(),
  /**
   * It is the archive of the rule of this name, which gets a copy (services/router/rules/rules.ts): the mail to it is tried for
   * `expire` ms. `form`: `report`, it gets a journal report (services/router/rules/journal-report.ts).
   */
  journal: z
    .object({ rule: z.string(), expire: z.number().positive(), form: z.enum(['envelope', 'report']).optional() })
    .optional(),
});
export type EnvelopeRecipient = z.infer<typeof EnvelopeRecipient>;

export const Envelope = z.object({
  /** Reverse-path; '' is the null reverse-path. */
  reversePath: z.string(),
  recipients: z.array(EnvelopeRecipient).min(1),
  /** RET and ENVID of RFC 3461. */
  ret: z.enum(['FULL', 'HDRS']).optional(),
  envid: z.string().optional(),
  /** The client declared SMTPUTF8 (RFC 6531). */
  smtpUtf8: z.boolean(),
  /** The client gave REQUIRETLS (RFC 8689). */
  requireTls: z.boolean().optional(),
});
export type Envelope = z.infer<typeof Envelope>;

/** The client that sent the message, and how: the facts a receipt, a trace header and a policy decision need. */
export const Origin = z.object({
  session: z.string(),
  listener: z.string(),
  kind: z.enum(['relay', 'submission', 'internal']),
  client: z.object({ address: z.string(), name: z.string().nullable(), helo: z.string() }),
  /** Name of the authenticated user. */
  user: z.string().optional(),
  tls: ClientTls.optional(),
});
export type Origin = z.infer<typeof Origin>;

/** Where and when the last word on a recipient was spoken. `reply` is the peer's, or ours for local trouble. */
export const Outcome = z.object({
  at: z.number(),
  /** Host name and address of the peer, or the transport (`maildir`, `capture`). */
  host: z.string().optional(),
  reply: Reply,
  /** The message was converted from 8 bit to 7 bit, because the peer does not offer 8BITMIME. */
  converted: z.boolean().optional(),
  /**
   * TLS of the connection that carried it; absent: clear text or no connection. `verified`: by DANE, with a record that
   * names the certificate (EE) or its authority (TA).
   */
  tls: z
    .object({ protocol: z.string(), cipher: z.string(), verified: z.enum(['dane-ee', 'dane-ta']).optional() })
    .optional(),
  /** Of the connection that carried it, or that could not be had; absent: there was none to another machine. */
  protection: Protection.optional(),
});
export type Outcome = z.infer<typeof Outcome>;

/**
 * Status of one recipient. Exactly one of:
 * - `waiting`: no attempt yet
 * - `deferred`: tried or held up, `outcome` says why, `nextAttempt` (ms since 1970) when it is tried again
 * - `delivered`, `failed`, `expired`: final; the recipient has left the queue
 */
export const RecipientStatus = z.discriminatedUnion('state', [
  z.object({ state: z.literal('waiting') }),
  z.object({ state: z.literal('deferred'), attempts: z.number().int(), nextAttempt: z.number(), outcome: Outcome }),
  z.object({ state: z.literal('delivered'), outcome: Outcome }),
  z.object({ state: z.literal('failed'), outcome: Outcome }),
  z.object({ state: z.literal('expired'), outcome: Outcome }),
]);
export type RecipientStatus = z.infer<typeof RecipientStatus>;
