import { z } from 'zod';
import { domainOrAny, rate, senderOrAny } from './values.ts';

/**
 * The section `rates`: limits that hold for the whole cluster. Destinations are paced by routers (shares.ts and
 * delivery/lanes.ts there say how), users and senders are counted by policy (rates.ts there).
 */

const most = {
  messages: rate.optional().describe('messages begun in a time; 450 beyond'),
  recipients: rate.optional().describe('recipients accepted in a time; 450 beyond'),
};

export const ratesSection = z
  .strictObject({
    destinations: z
      .array(
        z.strictObject({
          to: domainOrAny.describe('recipient domain with everything below it, or *: every other domain by itself'),
          messages: rate.optional().describe('messages sent in a time, evenly spread; the rest waits its turn'),
          connections: z.number().int().min(1).optional().describe('messages sent, and connections, at once'),
        }),
      )
      .prefault([])
      .describe('how fast mail goes to a domain from all nodes together: the most specific domain counts'),
    users: z
      .array(
        z.strictObject({
          name: z.string().min(1).describe('an authenticated user, or *: every other user by itself'),
          ...most,
        }),
      )
      .prefault([])
      .describe('what authenticated users may send through all nodes together'),
    senders: z
      .array(
        z.strictObject({
          from: senderOrAny.describe('reverse-path: address, domain with everything below it, or * (each domain)'),
          ...most,
        }),
      )
      .prefault([])
      .describe('what senders who are not authenticated may send through all nodes together; never the null path'),
  })
  .prefault({});
