import { z } from 'zod';

/**
 * What Sealpost publishes at a name in DNS about our TLS (`_25._tcp.mx1.example.com`), record `published!<name>`: written
 * before DNS is, so that a later publication can tell its own records from those of others. Records of keys are not here:
 * a key knows its own.
 */
export const PublishedRecord = z.object({
  name: z.string(),
  values: z.array(
    z.object({
      /** As text: of a TXT record its value, of a TLSA record `3 1 1 …`. */
      value: z.string(),
      /** `next`: of a certificate that has yet to be used. */
      role: z.enum(['current', 'next']),
      /** When every authoritative server was first seen to have it, ms since 1970. */
      seen: z.number().optional(),
      /** Of a TLSA record: the nodes that showed its key when they said last. */
      nodes: z.array(z.string()).optional(),
    }),
  ),
  /**
   * At `_mta-sts`: for how many ms senders keep the policy that the record tells of (its `max_age`); 0 where that asks for
   * nothing (`mode: none`) or is withdrawn. Absent: not known.
   */
  maxAge: z.number().optional(),
  /** When the last sender forgets the policies before that one (RFC 8461 §8.3), ms since 1970. */
  kept: z.number().optional(),
});
export type PublishedRecord = z.infer<typeof PublishedRecord>;
/** What is known about a name; no values: nothing of ours is there. */
export type Published = Omit<PublishedRecord, 'name'>;
export type PublishedValue = PublishedRecord['values'][number];
