import { z } from 'zod';
import { DirectiveAbout, DirectiveKind, LONGEST_DIRECTIVE_MS } from '#shared/directive.ts';
import { QueueState } from '#shared/mail/queue-entry.ts';
import { QueueChange } from '#shared/queue/change.ts';

/** The queues of all nodes: what waits for whom and why, and what is done with much of it. Times are ms since 1970. */

export const GroupedBy = z.enum(['destination', 'reply', 'sender', 'hold', 'node']);
export type GroupedBy = z.infer<typeof GroupedBy>;

const Said = z.object({ at: z.number(), host: z.string().optional(), reply: z.string() });

export const Directive = z.object({
  kind: DirectiveKind,
  about: DirectiveAbout,
  name: z.string(),
  at: z.number(),
  until: z.number(),
  by: z.string(),
  reason: z.string().optional(),
  via: z.string().optional(),
});
export type Directive = z.infer<typeof Directive>;

export const QueueGroup = z.object({
  key: z.string(),
  messages: z.number(),
  held: z.number(),
  /** When the oldest one arrived. */
  oldest: z.number(),
  /** When the first is tried again; absent where all are held. */
  next: z.number().optional(),
  /** The last word on one of them. */
  last: Said.optional(),
  /** A next hop that is left alone until then, and what it said. */
  backoff: Said.extend({ until: z.number(), nextHop: z.string() }).optional(),
  /** What an operator told the routers about this destination. */
  suspended: Directive.optional(),
  redirected: Directive.optional(),
});
export type QueueGroup = z.infer<typeof QueueGroup>;

export const QueueGroups = z.object({
  by: GroupedBy,
  /** The largest first. */
  groups: z.array(QueueGroup),
  /** Of all groups, also those that are not listed. A message of several counts in each. */
  total: z.object({ groups: z.number(), messages: z.number() }),
  directives: z.array(Directive),
  /** How long it took to count, in ms. */
  took: z.number(),
  silent: z.array(z.object({ node: z.string(), error: z.string() })),
});
export type QueueGroups = z.infer<typeof QueueGroups>;

/** Ids in one request. */
export const MOST_NAMED = 500;
const text = z.string().min(1).max(1000);

/** Which mail of the queue: what is given must all be so (`sealpost queue --help` explains each). */
export const QueueFilter = z.strictObject({
  ids: z.array(z.string().max(100)).min(1).max(MOST_NAMED).optional(),
  state: QueueState.optional(),
  domain: text.optional(),
  /** '' is the null reverse-path. */
  sender: z.string().max(1000).optional(),
  recipient: text.optional(),
  reply: text.optional(),
  nextHop: text.optional(),
  since: z.number().optional(),
  before: z.number().optional(),
});
export type QueueFilter = z.infer<typeof QueueFilter>;

/** How far a change is on a node. `until`: mail that arrived later is left alone. */
const Place = z.strictObject({
  node: z.string().max(255),
  after: z
    .string()
    .regex(/^[0-9A-Z]{1,20}$/)
    .optional(),
  until: z.number().optional(),
  done: z.boolean(),
});

export const ChangeRequest = z.strictObject({
  operation: QueueChange,
  filter: QueueFilter,
  /** All mail: a filter without a condition is a mistake elsewhere. */
  all: z.literal(true).optional(),
  /** Of `reroute`: smtp://host, smtps://host, lmtp://host, each with or without :port, mx, or `route` for what the routes say. */
  via: z.string().max(300).optional(),
  /** For the log; of `bounce` also for the senders. */
  reason: z.string().min(1).max(500).optional(),
  /** Only count. */
  dryRun: z.boolean().default(false),
  /** The `places` of the answer before: go on there. */
  places: z.array(Place).max(1000).optional(),
});
export type ChangeRequest = z.input<typeof ChangeRequest>;

export const ChangeReply = z.object({
  /** Messages, in this answer alone. */
  count: z.number(),
  nodes: z.array(z.object({ node: z.string(), count: z.number() })),
  /** All that was meant is done on the nodes that answer; else the same request goes on with `places`. */
  done: z.boolean(),
  places: z.array(Place),
  /** Of named messages, those that no queue has. */
  missing: z.array(z.object({ id: z.string(), reason: z.string() })),
  /** Nodes where it may not be done. */
  silent: z.array(z.object({ node: z.string(), error: z.string() })),
});
export type ChangeReply = z.infer<typeof ChangeReply>;

const Subject = z.strictObject({ kind: DirectiveKind, about: DirectiveAbout, name: text });

export const DirectiveRequest = Subject.extend({
  forMs: z.number().int().positive().max(LONGEST_DIRECTIVE_MS),
  reason: z.string().min(1).max(500).optional(),
  /** Of `redirect`: as `via` of ChangeRequest, without `route`. */
  via: z.string().min(1).max(300).optional(),
});
export type DirectiveRequest = z.infer<typeof DirectiveRequest>;
export const DirectiveEnd = Subject;
export type DirectiveEnd = z.infer<typeof DirectiveEnd>;

/** `lacking`: nodes that have not heard of it yet; they follow when they do. */
export const DirectiveReply = z.object({ directive: Directive, lacking: z.array(z.string()) });
export type DirectiveReply = z.infer<typeof DirectiveReply>;
