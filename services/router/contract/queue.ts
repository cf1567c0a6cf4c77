import { z } from 'zod';
import type { OperationSpec } from '#shared/contract.ts';
import { QueueChange } from '#shared/queue/change.ts';
import { QueueFilter } from '#shared/queue/filter.ts';
import { QueueGroup, SummaryBy } from '#shared/queue/summary.ts';
import { Affected, READ } from './common.ts';

/** Of one administrator. */
const MOST_DOMAINS = 100;

/** What operators ask and do about much mail of the queue together. */

/** Which messages the operations of the version before are for: one id, all of a recipient domain, or all. */
const QueueSelection = z.union([
  z.object({ queueId: z.string() }),
  z.object({ domain: z.string() }),
  z.object({ all: z.literal(true) }),
]);

type Change = { operation: QueueChange; filter: QueueFilter; via?: string | undefined; dryRun: boolean };

/** `hold: domain example.net`; undefined where it only counts. */
function ofChange({ operation, filter, via, dryRun }: Change): string | undefined {
  const { ids, ...others } = filter;
  const parts = Object.entries(others).flatMap(([name, value]) => (value === undefined ? [] : `${name} ${value}`));
  if (ids !== undefined) parts.push(ids.length > 10 ? `${ids.length} messages` : ids.join(' '));
  // A password may stand before an @, where one was asked for that is refused.
  const what = `${operation}${via === undefined ? '' : ` to ${via.replace(/\/\/.*@/s, '//…@')}`}`;
  return dryRun ? undefined : `${what}: ${parts.join(', ') || 'all mail'}`;
}

function ofSelection(selection: z.output<typeof QueueSelection>): string {
  if ('queueId' in selection) return selection.queueId;
  return 'domain' in selection ? selection.domain : 'all mail';
}

export const queueOperations = {
  /**
   * How many messages there are of each kind, a part of the queue at a time. `next` is the `after` of the part that follows;
   * what a part has must be added to what the others have.
   */
  'queue-summarize': {
    request: z.object({
      by: SummaryBy,
      filter: QueueFilter,
      after: z.string().max(20).optional(),
      /** Only mail from these domains, and of other mail what is for recipients in them; a subdomain is one of its own. */
      domains: z.array(z.string().max(253)).min(1).max(MOST_DOMAINS).optional(),
    }),
    reply: z.object({
      groups: z.array(QueueGroup),
      next: z.string().optional(),
      /** `domains` were heeded; absent in the answer of an older version, which counts all mail. */
      bounded: z.literal(true).optional(),
    }),
    errors: READ,
    timeout: 20_000,
  },
  /**
   * Do something with a part of the mail that a filter means, oldest first: what a reply says is on disk, in one write. What is
   * as it should be already is not selected, so the same request again does the rest. `next` is the `after` of the part that
   * follows. Mail that arrived after the `until` of the first reply is left alone, unless it is named.
   */
  'queue-change': {
    request: z.object({
      operation: QueueChange,
      filter: QueueFilter,
      /** Of `reroute`: the `via` of a route, or `route` for what the routes say. */
      via: z.string().max(300).optional(),
      /** Who does it and why, for the log; of `bounce`, the reason is also for the senders. */
      by: z.string().max(255),
      reason: z.string().max(500).optional(),
      /** Only count. */
      dryRun: z.boolean().default(false),
      after: z.string().max(20).optional(),
      until: z.number().optional(),
    }),
    reply: z.object({
      count: z.number().int(),
      until: z.number(),
      next: z.string().optional(),
      /** Of ids, those that this router does not have; in the first reply. */
      missing: z.array(z.object({ id: z.string(), reason: z.string() })).optional(),
    }),
    errors: ['invalid-directive', ...READ],
    timeout: 60_000,
    audited: ofChange,
  },
  /** What commands of the version before ask. */
  'message-retry': {
    request: QueueSelection,
    reply: Affected,
    errors: ['not-found', ...READ],
    timeout: 120_000,
    audited: ofSelection,
  },
  'message-hold': {
    request: QueueSelection,
    reply: Affected,
    errors: ['not-found', ...READ],
    timeout: 120_000,
    audited: ofSelection,
  },
  'message-release': {
    request: QueueSelection,
    reply: Affected,
    errors: ['not-found', ...READ],
    timeout: 120_000,
    audited: ofSelection,
  },
  'message-remove': {
    request: z.intersection(QueueSelection, z.object({ notify: z.boolean().default(false) })),
    reply: Affected,
    errors: ['not-found', ...READ],
    timeout: 120_000,
    audited: ofSelection,
  },
} as const satisfies Record<string, OperationSpec>;
