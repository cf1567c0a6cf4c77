import { z } from 'zod';
import { KeyInfo } from './key.ts';

/** Where keys are in their life, as administrators see it. */

/** What DNS said about a key's record, as one node saw it. */
export const DnsView = z.object({
  node: z.string(),
  verdict: z.enum(['ok', 'missing', 'different', 'duplicate', 'malformed', 'unreachable', 'error']),
  /** One sentence; it names the first server with a wrong answer. */
  summary: z.string(),
  /** `host`: the name server of which `server` is an address. */
  servers: z.array(
    z.object({ server: z.string(), verdict: z.string(), detail: z.string(), host: z.string().optional() }),
  ),
  /** ms since 1970 */
  at: z.number(),
});
export type DnsView = z.infer<typeof DnsView>;

/** A key as people see it. */
export const KeyStatus = KeyInfo.extend({
  /** When it entered its state, ms since 1970. */
  since: z.number(),
  /** Becomes active without a further order after it is proven. */
  activate: z.boolean(),
  /** It signed mail, or may have: at its end its record is first emptied, not just removed. */
  signed: z.boolean(),
  publish: z.enum(['update', 'manual', 'cname', 'none']),
  /** The name of the TXT record: `<selector>._domainkey.<domain>`, or the target of the CNAME. */
  record: z.string(),
  /** TTL of the record in seconds. */
  ttl: z.number().int(),
  until: z.number().optional(),
  /** NEK that wraps it; absent once the private key is erased. */
  nek: z.string().optional(),
  /** Why it does not come on. `permanent`: it needs a person, and is tried again at long intervals. */
  problem: z.object({ text: z.string(), since: z.number(), permanent: z.boolean() }).optional(),
  /** It is compromised, and verifiers may still accept what somebody else signs with it; absent where not. */
  exposed: z.boolean().optional(),
  /** The live nodes that hold it, and the number of live nodes. */
  nodes: z.object({ holding: z.array(z.string()), live: z.number().int() }),
  /** The last view of the answering node; absent when it has not looked yet, or the domain is not in DNS. */
  dns: DnsView.optional(),
});
export type KeyStatus = z.infer<typeof KeyStatus>;
