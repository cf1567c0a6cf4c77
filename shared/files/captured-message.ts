import { z } from 'zod';
import { Envelope } from '../mail/envelope.ts';

/** What is known of a message that was captured instead of sent (`captured-mail.ts`). */
export const CapturedMessage = Envelope.extend({
  /** Name of its files, without ending. */
  id: z.string(),
  queueId: z.string(),
  trace: z.string(),
  /** ms since 1970 */
  at: z.number(),
  size: z.number().int(),
  junk: z.boolean(),
});
export type CapturedMessage = z.infer<typeof CapturedMessage>;
