import { z } from 'zod';
import { Directive } from '../directive.ts';
import { EarlierAttempts, TriedHost } from './attempt.ts';
import { Authenticity } from './authenticity.ts';
import { EnvelopeRecipient, Origin, RecipientStatus } from './envelope.ts';
import { MessageTls } from './message-tls.ts';
import { Reply } from './reply.ts';

export const QueueState = z.enum(['active', 'deferred', 'hold']);

/**
 * Who holds a message, and since when (ms since 1970): `rule`, one of `rules`, which is named; `tls`, no host can do what the
 * message asks of TLS; `dead-letter`, it cannot be returned; `journal`, the archive of
 * that rule does not take its copy.
 */
export const MessageHold = z.object({
  by: z.enum(['operator', 'filter', 'rule', 'tls', 'dead-letter', 'journal']),
  rule: z.string().optional(),
  at: z.number(),
});
export type MessageHold = z.infer<typeof MessageHold>;

/** A notice (DSN) about a message, by its own queue id; `at`: ms since 1970. */
export const SentNotice = z.object({
  queueId: z.string(),
  kind: z.enum(['failed', 'delayed', 'succeeded']),
  to: z.string(),
  at: z.number(),
});
export type SentNotice = z.infer<typeof SentNotice>;

/**
 * A next hop could not be reached, and is left alone until then: nothing is tried before. `at`: when it was tried last, and
 * what it said then, or we of it. Both in ms since 1970.
 */
export const NextHopBackoff = z.object({
  until: z.number(),
  at: z.number(),
  host: z.string().optional(),
  reply: Reply,
});
export type NextHopBackoff = z.infer<typeof NextHopBackoff>;

/** A message in the queue, as operators see it. */
export const QueueEntry = z.object({
  queueId: z.string(),
  node: z.string(),
  state: QueueState,
  /** ms since 1970 */
  arrived: z.number(),
  size: z.number().int(),
  reversePath: z.string(),
  origin: Origin,
  trace: z.string(),
  /** It is marked as junk, and goes as such to recipients that are not `neverJunk`. */
  junk: z.boolean().optional(),
  /** What was found out about it; absent for mail that was not checked. */
  authenticity: Authenticity.optional(),
  /** What each mail filter said that was asked. */
  filters: z.record(z.string(), z.string()).optional(),
  /** What it asks of TLS on its way. */
  tls: MessageTls.optional(),
  /** It was accepted with one copy although two are configured. */
  alone: z.boolean().optional(),
  /** An operator sent it this way, as the `via` of a route says it. */
  via: z.string().optional(),
  /** It was taken over from that node, at that time (ms since 1970). */
  takenOver: z.object({ from: z.string(), at: z.number() }).optional(),
  messageId: z.string().optional(),
  /** Absent where it is not held, and where a version before held it. */
  hold: MessageHold.optional(),
  /** The last notices about it; absent where there is none. */
  notices: z.array(SentNotice).optional(),
  recipients: z.array(
    z.object({
      recipient: EnvelopeRecipient,
      status: RecipientStatus,
      nextHop: z.string(),
      /** What keeps its mail back; `nextAttempt` of `status` is not before its end. */
      backoff: NextHopBackoff.optional(),
      /** The limit of `rates.destinations` for which it waits, with this node's share, for people. */
      limit: z.string().optional(),
      /** What an operator told the routers: that its mail waits, or goes, or went, to another next hop. */
      suspended: Directive.optional(),
      redirected: Directive.optional(),
      /** The keys that signed the mail at the last attempt. */
      signatures: z.array(z.object({ domain: z.string(), selector: z.string() })).optional(),
      /** The other hosts that the last attempt tried, in that order; in answers about one message. */
      others: z.array(TriedHost).optional(),
      /** Delivery failed, and the mail cannot be returned (dsn.null-reverse-path). */
      dead: z.boolean().optional(),
      /** The attempts before the last one, which `status` has; in answers about one message. */
      earlier: EarlierAttempts.optional(),
    }),
  ),
});
export type QueueEntry = z.infer<typeof QueueEntry>;

/** What else keeps a message in the queue of a node, right now. */
export const QueuedFacts = z.object({
  /** The node that has its second copy. */
  second: z.string().optional(),
  /** Why this node must not deliver it: another one may do that. */
  obstacle: z.string().optional(),
  /** Why the store takes no writes: no attempt begins until it does. */
  storeFailure: z.string().optional(),
  /** An attempt is under way. */
  attempting: z.boolean().optional(),
  /** The next hop that has as many attempts under way as it may. */
  congested: z.string().optional(),
});
export type QueuedFacts = z.infer<typeof QueuedFacts>;
