import { z } from 'zod';

/** What operators do with mail of the queue. `bounce` returns it to its senders now, `reroute` sends it another way. */
export const QueueChange = z.enum(['retry', 'hold', 'release', 'remove', 'bounce', 'reroute']);
export type QueueChange = z.infer<typeof QueueChange>;
