import { z } from 'zod';
import { Outcome } from './envelope.ts';
import { Reply } from './reply.ts';

/** A host that an attempt tried, and what it said or why it could not be used; without `host`: it could not be found. */
export const TriedHost = z.object({ host: z.string().optional(), reply: Reply });
export type TriedHost = z.infer<typeof TriedHost>;

/** One attempt to deliver a message to a recipient, and what came of it. Also trouble of ours that kept it from going. */
export const Attempt = Outcome.omit({ protection: true, converted: true }).extend({
  /** Where it went. */
  nextHop: z.string().optional(),
  /** The other hosts that it tried, in that order: `host` and `reply` are those of the one that decided. */
  others: z.array(TriedHost).optional(),
  /** The keys that signed it. */
  signatures: z.array(z.object({ domain: z.string(), selector: z.string() })).optional(),
});
export type Attempt = z.infer<typeof Attempt>;

/** The attempts before the last one, oldest first. `leftOut`: how many are missing between the first ones and the others. */
export const EarlierAttempts = z.object({ attempts: z.array(Attempt), leftOut: z.number().int().optional() });
export type EarlierAttempts = z.infer<typeof EarlierAttempts>;
