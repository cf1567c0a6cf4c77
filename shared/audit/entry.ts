import { z } from 'zod';
import { QUEUE_ID } from '../ids.ts';

/** The audit log: which change was made, by whom and when; also one that was refused. */

/** Characters of what a change is about; more is cut. */
export const MOST_ABOUT = 300;

export const AuditEntry = z.object({
  /** Sorts by time; unique in the cluster. */
  id: z.string().regex(QUEUE_ID),
  /** ms since 1970, by the clock of the node that made the change */
  at: z.number(),
  /** The person, as the command line or the console says: `root on edge-1`. It is not proven. */
  by: z.string().max(255),
  /** The node and the service that made the change. */
  node: z.string().max(64),
  service: z.string().max(64),
  operation: z.string().max(64),
  /** What it was about, without secrets: `s1 of example.com`. */
  about: z.string().max(MOST_ABOUT),
  /** `done`, or the code of the error with which it was refused. */
  outcome: z.string().max(64),
  /** The same again, within a minute each time; `until`: when the last one was. */
  times: z.number().int().min(2).optional(),
  until: z.number().optional(),
});
export type AuditEntry = z.infer<typeof AuditEntry>;

/** Which entries: all of what is given must fit. Times are ms since 1970. */
export const AuditSearch = z.object({
  since: z.number().optional(),
  until: z.number().optional(),
  /** Part of the person, or of what it was about, in any case. */
  by: z.string().max(255).optional(),
  about: z.string().max(255).optional(),
});
export type AuditSearch = z.infer<typeof AuditSearch>;
