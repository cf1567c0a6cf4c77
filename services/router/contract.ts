import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import { Envelope, EnvelopeRecipient, Origin, RecipientStatus } from '#shared/envelope.ts';

/**
 * The router owns this node's queue. A message comes in as a transfer: open → chunk* → commit or abort. `commit`
 * answers when record, recipients and body are on disk and synced: only then may a listener say 250.
 */

/** Largest chunk in bytes. Bodies cross the bus in pieces of at most this size. */
export const CHUNK_BYTES = 32 * 1024;

/** What the listener learned about a message while its bytes passed. */
export const MessageFacts = z.object({
  /** Bytes of the header block as received, the empty line included. */
  headerBytes: z.number().int().nonnegative(),
  /** Bytes of the whole message as received. */
  size: z.number().int().nonnegative(),
  /** Base64 SHA-256 of the relaxed body (RFC 6376 §3.4.4), which signatures at delivery cover. */
  bodyHash: z.string(),
  /** Octets above 127 occur in the body / in the header: the next hop must offer 8BITMIME / SMTPUTF8. */
  eightBitBody: z.boolean(),
  eightBitHeader: z.boolean(),
});
export type MessageFacts = z.infer<typeof MessageFacts>;

/** Destinations in one announcement of demand; whoever has work for more says that it has work for all. */
export const MOST_DEMAND_LINES = 500;

export const QueueState = z.enum(['active', 'deferred', 'hold']);

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
  recipients: z.array(
    z.object({
      recipient: EnvelopeRecipient,
      status: RecipientStatus,
      nextHop: z.string(),
      /** The limit of `rates.destinations` whose turn it waits for, with this node's share, for people. */
      limit: z.string().optional(),
      /** The keys that signed the mail as it was delivered to this recipient. */
      signatures: z.array(z.object({ domain: z.string(), selector: z.string() })).optional(),
    }),
  ),
});
export type QueueEntry = z.infer<typeof QueueEntry>;

/** Which messages an operation is for: one id, all of a recipient domain, or all. */
export const QueueSelection = z.union([
  z.object({ queueId: z.string() }),
  z.object({ domain: z.string() }),
  z.object({ all: z.literal(true) }),
]);

const affected = z.object({ count: z.number().int() });

export const routerContract = defineContract('router', 1, {
  operations: {
    /**
     * Begin a transfer. `queueId` is the id the message will have. Errors: `full` no room on disk (452 4.3.1),
     * `not-accepting` draining or the store failed (451).
     */
    open: {
      request: z.object({ envelope: Envelope, origin: Origin, sizeHint: z.number().int().optional() }),
      reply: z.object({ transfer: z.string(), queueId: z.string(), node: z.string() }),
      errors: ['full', 'not-accepting'],
      elsewhere: ['full', 'not-accepting'],
    },
    /** The next bytes of the message; chunks are numbered from 0 and sent in order. Answered when they are on disk. */
    chunk: {
      request: z.object({ transfer: z.string(), sequence: z.number().int().nonnegative() }),
      reply: z.object({}),
      errors: ['unknown-transfer', 'out-of-order', 'full', 'not-accepting'],
      bytes: 'request',
      timeout: 60_000,
    },
    /** The last bytes (all of them, for a message of one chunk) and what the message is. */
    commit: {
      request: z.object({
        transfer: z.string(),
        sequence: z.number().int().nonnegative(),
        facts: MessageFacts,
        /** Header fields to put in front, each with its CRLF. */
        prepend: z.array(z.string()),
        originating: z.boolean(),
        junk: z.boolean(),
      }),
      reply: z.object({ queueId: z.string() }),
      errors: ['unknown-transfer', 'out-of-order', 'full', 'not-accepting'],
      bytes: 'request',
      timeout: 60_000,
    },
    abort: { request: z.object({ transfer: z.string() }), reply: z.object({}) },

    /** Messages in the queue, oldest first, a page at a time. `next` is the cursor of the page that follows. */
    list: {
      request: z.object({
        state: QueueState.optional(),
        domain: z.string().optional(),
        after: z.string().optional(),
        limit: z.number().int().min(1).max(500).default(100),
      }),
      reply: z.object({ entries: z.array(QueueEntry), next: z.string().optional() }),
    },
    /** One message, in the queue or finished (its receipt): `finished` says which. */
    show: {
      request: z.object({ queueId: z.string() }),
      reply: z.object({ entry: QueueEntry, finished: z.boolean() }),
      errors: ['not-found'],
    },
    /** A piece of a queued message as it would be sent, without signatures; empty bytes behind the end. */
    read: {
      request: z.object({ queueId: z.string(), offset: z.number().int().nonnegative() }),
      reply: z.object({ total: z.number().int() }),
      errors: ['not-found', 'corrupt'],
      bytes: 'reply',
    },
    /** Try deferred mail now. */
    retry: { request: QueueSelection, reply: affected, errors: ['not-found'], timeout: 120_000 },
    hold: { request: QueueSelection, reply: affected, errors: ['not-found'], timeout: 120_000 },
    release: { request: QueueSelection, reply: affected, errors: ['not-found'], timeout: 120_000 },
    /** Take mail out of the queue for good, without a DSN unless asked. */
    remove: {
      request: z.intersection(QueueSelection, z.object({ notify: z.boolean().default(false) })),
      reply: affected,
      errors: ['not-found'],
      timeout: 120_000,
    },
    /** Counts for operators. */
    status: {
      request: z.object({}),
      reply: z.object({
        node: z.string(),
        active: z.number().int(),
        deferred: z.number().int(),
        hold: z.number().int(),
        corrupt: z.number().int(),
        /** Messages sent without a signature in best-effort mode since start, and why. */
        unsigned: z.array(z.object({ domain: z.string(), reason: z.string(), count: z.number().int() })),
        /** Why the queue takes no mail right now, when it takes none. */
        refusing: z.string().optional(),
      }),
    },
  },
  events: {
    /**
     * What this router could use and takes of each limit of `rates.destinations` that it has work for, as parts of the
     * limit (shares.ts). Said every second, and sooner when a share becomes smaller or work begins.
     */
    demand: z.object({
      node: z.string(),
      /** Names this process among those of the node, one after the other. */
      instance: z.string(),
      /** It stops: what it took is free. */
      leaving: z.boolean(),
      /** It has work for more destinations than it names. */
      more: z.boolean(),
      /** Key of the limit (a domain), part that it could use, part that it takes at most. */
      lines: z.array(z.tuple([z.string(), z.number().min(0), z.number().min(0)])).max(MOST_DEMAND_LINES),
    }),
  },
});
export type RouterContract = typeof routerContract;
