import { z } from 'zod';
import { domainOrAny, rate, senderOrAny } from './values.ts';

/**
 * The section `rates`: limits that hold for the whole cluster. Routers pace destinations (services/router/pacing), policy
 * counts users and senders (services/policy/rates).
 */

const most = {
  messages: rate.optional().describe('transactions in a time; more get 450'),
  recipients: rate.optional().describe('accepted recipients in a time; more get 450'),
};

export const ratesSection = z
  .strictObject({
    destinations: z
      .array(
        z.strictObject({
          to: domainOrAny.describe('recipient domain with everything below it, or *: every other domain by itself'),
          messages: rate.optional().describe('messages in a time, spread evenly; the rest waits its turn'),
          connections: z.number().int().min(1).optional().describe('concurrent messages and connections'),
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
      .describe('limits of authenticated users, for all nodes together'),
    senders: z
      .array(
        z.strictObject({
          from: senderOrAny.describe('reverse-path: address, domain with everything below it, or * (each domain)'),
          ...most,
        }),
      )
      .prefault([])
      .describe('limits of senders without authentication, for all nodes together; never of the null reverse-path'),
  })
  .prefault({});
