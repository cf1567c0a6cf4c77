import { z } from 'zod';
import { MessageState } from '#shared/mail/message-search.ts';

/** Mail of all nodes: what a search finds, and the journey of one message. Times are ms since 1970. */

export const MailState = z.enum([...MessageState.options, 'refused']);
export type MailState = z.infer<typeof MailState>;

const Pairs = z.array(z.tuple([z.string(), z.string()]));

/** A refusal at the door, which has no page of its own. */
const Refusal = z.object({
  /** Why, as one sentence. */
  sentence: z.string(),
  /** What is known of it, by its names. */
  facts: Pairs,
});

export const FoundRow = z.object({
  /** Tells rows apart. */
  key: z.string(),
  /** The queue id, of what was accepted. */
  id: z.string().optional(),
  node: z.string(),
  state: MailState,
  /** When it arrived, or was refused last. */
  at: z.number(),
  /** '' is the null reverse-path; absent where a client came no further. */
  from: z.string().optional(),
  /** The first recipient, as it was named, and how many more there are. */
  to: z.string().optional(),
  others: z.number(),
  size: z.number().optional(),
  /** The last reply of the recipient that is shown, and who gave it. */
  reply: z.string().optional(),
  host: z.string().optional(),
  refusal: Refusal.optional(),
});
export type FoundRow = z.infer<typeof FoundRow>;

export const MessageList = z.object({
  rows: z.array(FoundRow),
  /** The `below` of the page that follows. */
  next: z.string().optional(),
  /** Down to when everything was looked through, where `next` is there. */
  reached: z.number().optional(),
  /** Nodes whose mail is missing. */
  silent: z.array(z.object({ node: z.string(), error: z.string() })),
  unreadable: z.number(),
});
export type MessageList = z.infer<typeof MessageList>;

const Tls = z.object({ protocol: z.string(), cipher: z.string(), verified: z.string().optional() });

/** A step of the journey; which fields it has depends on `kind`. */
export const Step = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('accepted'),
    at: z.number(),
    node: z.string(),
    listener: z.string(),
    client: z.string(),
    user: z.string().optional(),
    /** Absent: clear text. */
    tls: Tls.optional(),
  }),
  z.object({
    kind: z.literal('attempt'),
    at: z.number(),
    to: z.array(z.string()),
    /** `tried`: others followed. */
    outcome: z.enum(['delivered', 'deferred', 'failed', 'expired', 'tried']),
    nextHop: z.string().optional(),
    host: z.string().optional(),
    reply: z.string(),
    tls: Tls.optional(),
    /** It went to another machine in clear text. */
    clear: z.boolean(),
    /** Keys that signed it: `selector.domain`. */
    signatures: z.array(z.string()),
    /** The other hosts that were tried before. */
    others: z.array(z.object({ host: z.string(), reply: z.string() })),
  }),
  z.object({ kind: z.literal('held'), at: z.number(), by: z.string() }),
  z.object({ kind: z.literal('taken-over'), at: z.number(), from: z.string(), node: z.string() }),
  z.object({ kind: z.literal('notice'), at: z.number(), notice: z.string(), to: z.string(), id: z.string() }),
  /** It is to come. */
  z.object({ kind: z.literal('next'), at: z.number(), to: z.array(z.string()), nextHop: z.string() }),
]);
export type Step = z.infer<typeof Step>;

const Recipient = z.object({
  address: z.string(),
  /** As it was before aliases. */
  original: z.string().optional(),
  state: z.enum(['waiting', 'deferred', 'delivered', 'failed', 'expired']),
  nextHop: z.string(),
  /** Why it goes, or went, elsewhere than its route says; why it waits. */
  notes: z.array(z.string()),
  reply: z.string().optional(),
  host: z.string().optional(),
  next: z.number().optional(),
});

export const MessageReply = z.object({
  id: z.string(),
  state: MailState,
  /** The cause, for programs (`sealpost why` has the same), and the sentence that says it. */
  cause: z.string(),
  sentence: z.string(),
  node: z.string().optional(),
  arrived: z.number().optional(),
  size: z.number().optional(),
  from: z.string().optional(),
  messageId: z.string().optional(),
  /** What else is known, by its names. */
  facts: Pairs,
  authentication: z.array(
    z.object({ method: z.string(), result: z.string(), details: z.array(z.string()), reason: z.string().optional() }),
  ),
  recipients: z.array(Recipient),
  /** Oldest first. */
  steps: z.array(Step),
  /** Attempts that are not kept. */
  leftOut: z.number(),
  /** It is in a queue, so that it can be changed and read. */
  queued: z.boolean(),
  /** What the person who asks may do. */
  may: z.object({ change: z.boolean(), read: z.boolean() }),
  /** Nodes that did not answer, and may know more. */
  silent: z.array(z.object({ node: z.string(), error: z.string() })),
});
export type MessageReply = z.infer<typeof MessageReply>;

/** A part of a message as it would be sent, without signatures. */
export const MessageText = z.object({
  text: z.string(),
  /** Bytes of all of it. */
  total: z.number(),
  /** Where the part that follows begins. */
  next: z.number().optional(),
});
export type MessageText = z.infer<typeof MessageText>;
