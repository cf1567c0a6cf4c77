import { z } from 'zod';

/**
 * What a summary of the queue is by: the recipient's domain, the pattern of the last reply, the reverse-path, the node; of held
 * mail, what holds it, with the name of its rule; of mail with copies for archives, the archive.
 */
export const SummaryBy = z.enum(['destination', 'reply', 'sender', 'node', 'hold', 'archive']);
export type SummaryBy = z.infer<typeof SummaryBy>;

/** Messages of a kind. Times are ms since 1970. */
export const QueueGroup = z.object({
  key: z.string(),
  messages: z.number().int(),
  /** When the oldest one arrived. */
  oldest: z.number(),
  /** When the first of them is tried again, 0 for now; absent where all are held. */
  next: z.number().optional(),
});
export type QueueGroup = z.infer<typeof QueueGroup>;
