import { z } from 'zod';
import { QUEUE_ID } from '../ids.ts';

/**
 * A change of the copy of one message. `put` names records of the queue and the sizes of their sealed values, which
 * follow each other in the bytes of the request; with `complete` the copy is whole. `drop`: the message no longer needs
 * one; its receipt, as JSON, is to be kept in its place.
 */
export const CopyChange = z.union([
  z.object({
    id: z.string().regex(QUEUE_ID),
    put: z.array(z.object({ key: z.string(), size: z.number().int().positive() })).min(1),
    complete: z.boolean(),
  }),
  z.object({ id: z.string().regex(QUEUE_ID), drop: z.literal(true), receipt: z.string().optional() }),
]);
export type CopyChange = z.infer<typeof CopyChange>;
