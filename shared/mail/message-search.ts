import { z } from 'zod';
import { Outcome } from './envelope.ts';
import { QueueState } from './queue-entry.ts';

/** `delivered`: it has left, to every recipient; `failed`: it has left, and one of them did not get it. */
export const MessageState = z.enum(['waiting', 'held', 'delivered', 'failed']);
export type MessageState = z.infer<typeof MessageState>;

/** Domains of one search. */
export const MOST_DOMAINS = 100;

/**
 * A search for messages, in the queue and finished ones: what is given must all be so. A sender or recipient is an address,
 * without regard to case, or a domain with everything below it. The sender `''` is the null reverse-path.
 */
export const MessageSearch = z.object({
  queueId: z.string().max(100).optional(),
  messageId: z.string().max(1000).optional(),
  from: z.string().max(1000).optional(),
  /** Also the recipient as it was before aliases. */
  to: z.string().max(1000).optional(),
  /** A sender, a recipient or a Message-ID. */
  about: z.string().max(1000).optional(),
  /** It arrived at this time or later, and before that (ms since 1970). */
  since: z.number().optional(),
  until: z.number().optional(),
  state: MessageState.optional(),
  /**
   * Only what these domains have to do with, without those below them: their senders, and their recipients, as they were
   * before aliases too. Of mail from elsewhere the others are left out of the answer.
   */
  domains: z.array(z.string().max(255)).min(1).max(MOST_DOMAINS).optional(),
});
export type MessageSearch = z.infer<typeof MessageSearch>;

/** What a search finds of a message. `message-show` has all of it. */
export const FoundMessage = z.object({
  queueId: z.string(),
  /** Where it is, or was when it left the queue. */
  node: z.string(),
  /** The node answers that had its second copy, and has kept its receipt. */
  copy: z.literal(true).optional(),
  state: z.enum([...QueueState.options, 'finished']),
  /** ms since 1970 */
  arrived: z.number(),
  finished: z.number().optional(),
  size: z.number(),
  messageId: z.string().optional(),
  reversePath: z.string(),
  /** The first of them; those that were asked for come first. */
  recipients: z.array(
    z.object({
      address: z.string(),
      original: z.string().optional(),
      state: z.string(),
      /** Of the last attempt. */
      last: Outcome.pick({ at: true, host: true, reply: true }).optional(),
    }),
  ),
  /** How many recipients it has in each state. */
  counts: z.record(z.string(), z.number().int()),
});
export type FoundMessage = z.infer<typeof FoundMessage>;

export function stateOf({ state, counts }: Pick<FoundMessage, 'state' | 'counts'>): MessageState {
  if (state !== 'finished') return state === 'hold' ? 'held' : 'waiting';
  return Object.keys(counts).every((name) => name === 'delivered') ? 'delivered' : 'failed';
}
