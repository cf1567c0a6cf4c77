import { z } from 'zod';
import { NekMac } from '#shared/dkim/nek-mac.ts';

/** What operations on keys, certificates and the directory have in common. */

/** Errors of every operation that changes the store. */
export const CHANGE = ['no-quorum', 'store-failed', 'unreadable-record', 'no-nek'] as const;

/** What a follower of keys or of the directory asks, and a page of the answer; `signing-key-list` explains the members. */
export const FollowQuestion = z.object({
  after: z.string().optional(),
  since: z.string().optional(),
  nonce: z.string().max(64).optional(),
});
export const FollowPage = z.object({
  node: z.string(),
  revision: z.number().int(),
  /** Why these may not be the newest; absent when they are. */
  behind: z.string().optional(),
  next: z.string().optional(),
  changed: z.array(z.string()).optional(),
  cursor: z.string().optional(),
  macs: z.array(NekMac).optional(),
});
