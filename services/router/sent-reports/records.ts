import { z } from 'zod';
import { DmarcRow, PublishedPolicy } from '#shared/mail/dmarc-rows.ts';

/**
 * The records of reports, beside those of the queue in its store, and their keys.
 *
 *   dmarc-unit!<domain>!<day>          the rows of a domain's record and a day
 *   dmarc-row!<domain>!<day>!<hash>    one of them
 *   dmarc-closed                       the last day that gets no more rows
 *
 * (Notes, which become rows, are among the records of the queue: store/records.ts.)
 *
 * A unit is what one report is about. `<domain>!<day>` names it, and orders the units of a run (claim.ts). Days are UTC.
 */

/** What is known of one message for the reports. */
export const Note = z.object({
  /** ms since 1970 */
  at: z.number(),
  domain: z.string(),
  published: PublishedPolicy,
  row: DmarcRow,
});
export type Note = z.infer<typeof Note>;

export const Closed = z.object({ day: z.string() });

export const reportKeys = {
  unit: (unit: string): string => `dmarc-unit!${unit}`,
  row: (unit: string, hash: string): string => `dmarc-row!${unit}!${hash}`,
  closed: 'dmarc-closed',
};

export const DAY_MS = 86_400_000;

/** `2026-11-29`, in UTC. */
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

export function dayAfter(day: string): string {
  return dayOf(Date.parse(day) + DAY_MS);
}

export function unitOf(domain: string, day: string): string {
  return `${domain}!${day}`;
}

/** The domain and the day of a unit. */
export function partsOf(unit: string): { domain: string; day: string } {
  const [domain = '', day = ''] = unit.split('!');
  return { domain, day };
}
