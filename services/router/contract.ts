import { z } from 'zod';
import { defineContract } from '#shared/contract.ts';
import { Directive, MOST_DIRECTIVES } from '#shared/directive.ts';
import { Authenticity } from '#shared/mail/authenticity.ts';
import { Envelope, Origin } from '#shared/mail/envelope.ts';
import { MessageFacts } from '#shared/mail/message-facts.ts';
import { FoundMessage, MessageSearch } from '#shared/mail/message-search.ts';
import { MessageTls } from '#shared/mail/message-tls.ts';
import { QueuedFacts, QueueEntry } from '#shared/mail/queue-entry.ts';
import { ReportPage } from '#shared/mail/reports/dmarc-rows.ts';
import { TlsReportPage } from '#shared/mail/reports/tls-rows.ts';
import { TlsRecord } from '#shared/mail/tls-memory.ts';
import { CopyChange } from '#shared/queue/copy-change.ts';
import { QueueFilter } from '#shared/queue/filter.ts';
import { webhookOperations } from '#shared/webhooks/status.ts';
import { Affected, READ } from './contract/common.ts';
import { operatorOperations } from './contract/operators.ts';
import { queueOperations } from './contract/queue.ts';

/**
 * The router owns this node's queue. A message comes in as a transfer: open → chunk* → commit or abort. `commit`
 * answers when record, recipients and body are on disk and synced: only then may a listener say 250.
 */

/** Largest chunk in bytes. Bodies cross the bus in pieces of at most this size. */
export const CHUNK_BYTES = 32 * 1024;
/** Destinations in one announcement of demand; a router that has work for more says `more`. */
export const MOST_DEMAND_LINES = 500;
/** Records of the TLS of others in one announcement. */
export const MOST_TLS_RECORDS = 500;
/** JetStream bucket of leases and pairs (copies/claims.ts). */
export const CLAIMS_BUCKET = 'sealpost-claims';

/** Most messages that one call about copies may name. */
export const MOST_COPIES = 2000;

/** The two stores of a pair and its generation. */
const PairName = z.object({ owner: z.string(), holder: z.string(), generation: z.number().int().positive() });
export type PairName = z.infer<typeof PairName>;

/** What a router announces of itself every second. */
export const Present = z.object({
  node: z.string(),
  /** Messages in its queue. */
  queued: z.number().int(),
  /** Why it accepts no mail right now; absent where it does. */
  refusing: z.string().optional(),
});
export type Present = z.infer<typeof Present>;

export const routerContract = defineContract('router', 1, {
  operations: {
    /**
     * Begin a transfer. `queueId` is the id that the message will have. Errors: `full` no room on disk (452 4.3.1),
     * `not-accepting` draining or the store failed (451).
     */
    'transfer-open': {
      repeatable: true,
      request: z.object({ envelope: Envelope, origin: Origin, sizeHint: z.number().int().optional() }),
      reply: z.object({ transfer: z.string(), queueId: z.string(), node: z.string() }),
      errors: ['full', 'not-accepting'],
      elsewhere: ['full', 'not-accepting'],
    },
    /** The next bytes of the message; chunks are numbered from 0 and sent in order. Answered when they are on disk. */
    'transfer-append': {
      request: z.object({ transfer: z.string(), sequence: z.number().int().nonnegative() }),
      reply: z.object({}),
      errors: ['unknown-transfer', 'out-of-order', 'full', 'not-accepting'],
      bytes: 'request',
      timeout: 60_000,
    },
    /** The last bytes (all of them, for a message of one chunk) and what the message is. */
    'transfer-commit': {
      request: z.object({
        transfer: z.string(),
        sequence: z.number().int().nonnegative(),
        facts: MessageFacts,
        /** Header fields to put in front, each with its CRLF. */
        prepend: z.array(z.string()),
        originating: z.boolean(),
        junk: z.boolean(),
        /** It waits in the queue until an operator releases it. */
        hold: z.boolean().optional(),
        /** In place of the header block received, with its empty line (latin1), and of the reverse-path of `transfer-open`. */
        header: z.string().optional(),
        reversePath: z.string().optional(),
        authenticity: Authenticity.optional(),
        /** What each mail filter said that was asked. */
        filters: z.record(z.string(), z.string()).optional(),
        /** What the message asks of TLS; REQUIRETLS of the envelope comes before it. */
        tls: MessageTls.optional(),
      }),
      reply: z.object({ queueId: z.string() }),
      errors: ['unknown-transfer', 'out-of-order', 'full', 'not-accepting'],
      bytes: 'request',
      timeout: 60_000,
    },
    /**
     * Give a transfer up. It wins over a commit that is not done; else the message stays and `committed` says so. So a caller
     * whose commit was not answered asks with this, naming the message as well, and the outcome is one.
     */
    'transfer-abort': {
      request: z.object({
        transfer: z.string(),
        queueId: z.string().optional(),
        /** The message was refused for good, or thrown away: what was found of it is counted for the reports. */
        authenticity: Authenticity.optional(),
      }),
      reply: z.object({ committed: z.boolean().optional() }),
    },

    /**
     * From router to router: keep copies of messages, in the order of the list. Answered when all of it is on disk.
     * Errors: `full`, `not-accepting` no room or no disk there; `other-store` the disk that held them is gone;
     * `superseded` the pair has moved on (taken over, or given up).
     */
    'copy-mirror': {
      request: PairName.extend({ changes: z.array(CopyChange).min(1).max(MOST_COPIES) }),
      reply: z.object({}),
      errors: ['full', 'not-accepting', 'other-store', 'superseded'],
      bytes: 'request',
      timeout: 5000,
    },
    /** From a holder to the owner: which of these messages no longer need a copy? `other-store`: the owner is gone. */
    'copy-compare': {
      request: PairName.extend({ ids: z.array(z.string()).min(1).max(MOST_COPIES) }),
      reply: z.object({ gone: z.array(z.string()) }),
      errors: ['other-store'],
    },
    /**
     * From an owner to the holder, before it deletes anything: is all mail of this generation in your queue, or was it?
     * `held`: copies that are yet to be taken over. `other-store`: the disk that held them is gone.
     */
    'copy-adopted': {
      request: PairName,
      reply: z.object({ adopted: z.boolean(), held: z.number().int() }),
      errors: ['other-store'],
      timeout: 2000,
    },
    /** Delete the void copies of the mail of a node that is silent and, as an operator says, gone for good. */
    'copy-forget': {
      request: z.object({ node: z.string() }),
      reply: Affected,
      errors: READ,
      timeout: 60_000,
      audited: ({ node }: { node: string }) => `copies of node ${node}`,
    },
    /**
     * From router to router: names of what it counted for DMARC reports up to a day, and the rows of one of them, for the
     * epoch of a run (sent-reports/daily/runs.ts). `not-due`: the day is not over there, or it has not heard of the epoch.
     */
    'dmarc-unit-list': {
      request: z.object({ day: z.iso.date(), epoch: z.number().int(), after: z.string() }),
      reply: z.object({ units: z.array(z.string()) }),
      errors: ['not-due', ...READ],
    },
    'dmarc-row-list': {
      request: z.object({ unit: z.string(), epoch: z.number().int(), after: z.string() }),
      reply: z.object({ page: ReportPage.optional() }),
      errors: ['not-due', ...READ],
    },
    /** The same for TLS reports. */
    'tls-unit-list': {
      request: z.object({ day: z.iso.date(), epoch: z.number().int(), after: z.string() }),
      reply: z.object({ units: z.array(z.string()) }),
      errors: ['not-due', ...READ],
    },
    'tls-row-list': {
      request: z.object({ unit: z.string(), epoch: z.number().int(), after: z.string() }),
      reply: z.object({ page: TlsReportPage.optional() }),
      errors: ['not-due', ...READ],
    },
    /** Begin to hand the whole queue over to other routers (`status-show` tells the progress); `no-router`: there is none. */
    'queue-drain': { request: z.object({}), reply: z.object({}), errors: ['no-router'] },

    /** Messages in the queue, oldest first, a page at a time. `next` is the cursor of the page that follows. */
    'message-list': {
      request: QueueFilter.extend({
        after: z.string().optional(),
        limit: z.number().int().min(1).max(500).default(100),
      }),
      reply: z.object({ entries: z.array(QueueEntry), next: z.string().optional() }),
      errors: READ,
    },
    /**
     * One message, in the queue or finished (its receipt): `finished` says which. `copy`: the receipt is that of another
     * node, which `entry` names.
     */
    'message-show': {
      request: z.object({ queueId: z.string() }),
      reply: z.object({
        entry: QueueEntry,
        finished: z.boolean(),
        copy: z.literal(true).optional(),
        /** Of one in the queue; absent in answers of the version before. */
        queued: QueuedFacts.optional(),
      }),
      errors: ['not-found', 'corrupt', ...READ],
    },
    /**
     * Messages of the queue and receipts that a search finds, newest first, a page at a time. `next` is the `below` of the
     * page that follows; a page may be short of its limit, or empty, and have one.
     */
    'message-find': {
      request: MessageSearch.extend({
        below: z.string().max(20).optional(),
        limit: z.number().int().min(1).max(500).default(100),
      }),
      reply: z.object({ messages: z.array(FoundMessage), unreadable: z.number().int(), next: z.string().optional() }),
      errors: READ,
      timeout: 20_000,
    },
    /** A piece of a queued message as it would be sent, without signatures; empty bytes after the end. */
    'message-read': {
      request: z.object({ queueId: z.string(), offset: z.number().int().nonnegative() }),
      reply: z.object({ total: z.number().int() }),
      errors: ['not-found', 'corrupt', ...READ],
      bytes: 'reply',
      audited: ({ queueId, offset }: { queueId: string; offset: number }) => (offset === 0 ? queueId : undefined),
    },

    /**
     * For a backup: the records of all mail in the queue, a page at a time, with their keys and their bytes one behind the
     * other (backup/copy-page.ts). `next` is the `after` of the page that follows; `damaged`: messages that were left out.
     */
    'message-copy': {
      request: z.object({ after: z.string().max(64).optional() }),
      reply: z.object({
        records: z.array(z.object({ key: z.string(), size: z.number().int().nonnegative() })),
        damaged: z.array(z.string()),
        next: z.string().optional(),
      }),
      errors: READ,
      bytes: 'reply',
      audited: ({ after }: { after?: string | undefined }) =>
        after === undefined ? 'all mail of the queue' : undefined,
    },
    /** Before a backup is restored: which of these messages this router has, or had (backup/known.ts). */
    'message-known': {
      request: z.object({ ids: z.array(z.string()).min(1).max(MOST_COPIES) }),
      reply: z.object({
        node: z.string(),
        known: z.array(z.object({ id: z.string(), as: z.enum(['queued', 'finished', 'copy', 'damaged']) })),
      }),
      errors: READ,
    },

    ...queueOperations,
    ...operatorOperations,
    ...webhookOperations,
  },
  events: {
    present: Present,
    /**
     * What this router could use and takes of each limit of `rates.destinations` that it has work for, as parts of the
     * limit (pacing/shares.ts). Announced every second, and sooner when a share becomes smaller or work begins.
     */
    demand: z.object({
      node: z.string(),
      /** Names this process among the successive ones of the node. */
      instance: z.string(),
      /** It stops: its share is free. */
      leaving: z.boolean(),
      /** It has work for more destinations than it names. */
      more: z.boolean(),
      /** Key of the limit (a domain), the part that it could use, the part that it takes at most. */
      lines: z.array(z.tuple([z.string(), z.number().min(0), z.number().min(0)])).max(MOST_DEMAND_LINES),
    }),
    /** What operators told this router. */
    'directive-learned': z.object({ directives: z.array(Directive).max(MOST_DIRECTIVES) }),
    /** What this router has learned of the TLS of others, within a second. */
    'tls-learned': z.object({ records: z.array(TlsRecord).max(MOST_TLS_RECORDS) }),
  },
});
export type RouterContract = typeof routerContract;
