import { z } from 'zod';
import { TlsDemand, TlsLevel, TlsSource } from './tls.ts';

/** The TLS ledger: how mail came to a node and how it left, as operators see it. */

export const LedgerDirection = z.enum(['in', 'out']);
export type LedgerDirection = z.infer<typeof LedgerDirection>;

/** A message that a client brought, or what became of it at one peer for the recipients of one domain. */
export const LedgerRow = z.object({
  direction: LedgerDirection,
  /** ms since 1970. */
  at: z.number(),
  node: z.string(),
  queueId: z.string(),
  state: z.enum(['received', 'deferred', 'delivered', 'failed', 'expired']),
  /** Of the recipients; of a message that came, that of the reverse-path: '' is the null reverse-path. */
  domain: z.string(),
  /** The peer: its name where that is known, and its address. */
  peer: z.string(),
  /** What a client called itself, the user that logged in, and the listener. */
  helo: z.string().optional(),
  user: z.string().optional(),
  listener: z.string().optional(),
  recipients: z.number().int(),
  /** Absent of what came, and of what was delivered before this was noted. */
  wanted: TlsDemand.optional(),
  by: TlsSource.optional(),
  reached: TlsLevel,
  protocol: z.string().optional(),
  cipher: z.string().optional(),
  /** That of the peer, where it showed one. */
  certificate: z
    .object({
      subject: z.string().optional(),
      fingerprint: z.string().optional(),
      /** It is for the name of the host: said of hosts alone. */
      name: z.boolean().optional(),
      /** An authority that is trusted stands behind it. */
      chain: z.boolean(),
      expires: z.number().optional(),
      dane: z.enum(['dane-ee', 'dane-ta', 'mismatch']).optional(),
      problem: z.string().optional(),
    })
    .optional(),
  /** Why less was reached than wanted. */
  why: z.string().optional(),
});
export type LedgerRow = z.infer<typeof LedgerRow>;

/** All rows of a domain in one direction. */
export const LedgerTotal = z.object({
  direction: LedgerDirection,
  domain: z.string(),
  /** Rows of mail that came or was delivered, by what was reached, and of mail that was not delivered. */
  clear: z.number().int(),
  encrypted: z.number().int(),
  verified: z.number().int(),
  undelivered: z.number().int(),
  /** Of the mail that was delivered, rows that reached less than wanted; absent in the version before. */
  weaker: z.number().int().optional(),
  /** When the last of them was, ms since 1970. */
  last: z.number(),
});
export type LedgerTotal = z.infer<typeof LedgerTotal>;

/** Which rows are meant. */
export const LedgerSelection = z.object({
  direction: LedgerDirection.optional(),
  /** Of this domain and those below it; of mail that came, also by the name of the client. */
  domain: z.string().max(255).optional(),
  /** ms since 1970. */
  since: z.number().optional(),
});
export type LedgerSelection = z.infer<typeof LedgerSelection>;

/** What a router is asked for, a page at a time. */
export const LedgerRequest = LedgerSelection.extend({
  /** Only rows that reached less. */
  weakerThan: TlsLevel.optional(),
  /** Rows; 0: totals only. */
  limit: z.number().int().min(0).max(500),
  /** `next` of the page before. */
  before: z
    .string()
    .regex(/^[0-9A-Z]{16}(\+\d{1,6})?$/)
    .optional(),
});
export type LedgerRequest = z.infer<typeof LedgerRequest>;

export const LedgerPage = z.object({
  rows: z.array(LedgerRow),
  /** Of everything that is selected and was looked at for this page, whatever it reached. */
  totals: z.array(LedgerTotal),
  /** Records that are damaged. */
  unreadable: z.number().int(),
  /** `before` of the page that follows. */
  next: z.string().optional(),
});
export type LedgerPage = z.infer<typeof LedgerPage>;

/** Count rows into the totals of their domains. */
export function addToTotals(totals: Map<string, LedgerTotal>, rows: readonly LedgerRow[]): void {
  for (const row of rows) {
    const done = row.state === 'received' || row.state === 'delivered';
    addTotal(totals, {
      ...{ direction: row.direction, domain: row.domain, last: row.at },
      ...{ clear: 0, encrypted: 0, verified: 0, undelivered: 0, [done ? row.reached : 'undelivered']: 1 },
      weaker: isWeakerThanWanted(row) ? 1 : 0,
    });
  }
}

export function addTotal(totals: Map<string, LedgerTotal>, more: LedgerTotal): void {
  const key = `${more.direction} ${more.domain}`;
  const known = totals.get(key);
  if (known === undefined) {
    totals.set(key, { ...more });
    return;
  }
  for (const count of ['clear', 'encrypted', 'verified', 'undelivered'] as const) known[count] += more[count];
  known.weaker = (known.weaker ?? 0) + (more.weaker ?? 0);
  known.last = Math.max(known.last, more.last);
}

/** Whether a level is below another one. */
export function isWeaker(level: TlsLevel, than: TlsLevel): boolean {
  return TlsLevel.options.indexOf(level) < TlsLevel.options.indexOf(than);
}

/** What each demand is satisfied with. */
const ENOUGH = { off: 'clear', opportunistic: 'encrypted', required: 'encrypted', verified: 'verified' } as const;

/** Whether mail was delivered with less than was wanted: opportunistic TLS allows that, and administrators want to know. */
export function isWeakerThanWanted({
  state,
  wanted,
  reached,
}: Pick<LedgerRow, 'state' | 'wanted' | 'reached'>): boolean {
  return state === 'delivered' && wanted !== undefined && isWeaker(reached, ENOUGH[wanted]);
}
