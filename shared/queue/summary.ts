import { z } from 'zod';
import { NextHopBackoff } from '../mail/queue-entry.ts';
import { Reply } from '../mail/reply.ts';

/**
 * What a summary of the queue is by: the recipient's domain, the pattern of the last reply, the reverse-path, the node; of held
 * mail, what holds it, with the name of its rule; of mail with copies for archives, the archive.
 */
export const SummaryBy = z.enum(['destination', 'reply', 'sender', 'node', 'hold', 'archive']);
export type SummaryBy = z.infer<typeof SummaryBy>;

/** By reply: the group of mail that was not tried yet. */
export const NOT_TRIED = 'not tried yet';

/** Messages of a kind. Times are ms since 1970. */
export const QueueGroup = z.object({
  key: z.string(),
  messages: z.number().int(),
  /** When the oldest one arrived. */
  oldest: z.number(),
  /** When the first of them is tried again, 0 for now; absent where all are held. */
  next: z.number().optional(),
  /** How many of them are held; absent in answers of the version before, as what follows. */
  held: z.number().int().optional(),
  /** By destination or reply: the last word on one of them, and when it was said. */
  last: z.object({ at: z.number(), host: z.string().optional(), reply: Reply }).optional(),
  /** By destination or reply: a next hop that is left alone for now, that which is so for longest. */
  backoff: NextHopBackoff.extend({ nextHop: z.string() }).optional(),
});
export type QueueGroup = z.infer<typeof QueueGroup>;
