import { z } from 'zod';
import { DmarcFound } from '../authenticity.ts';

/** DMARC aggregate reports of others about mail that claims to be from our domains (RFC 7489 §7.2, RFC 9990). */

/** Rows that travel, and are kept, together. */
export const REPORT_PART_ROWS = 500;

/** Messages from one address that met with the same. */
export const ReportRow = z.object({
  source: z.string().max(45),
  count: z.number().int().nonnegative(),
  /** What the receiver did with them; `pass` (RFC 9990) is `none` here. */
  disposition: z.enum(['none', 'quarantine', 'reject']),
  /** Results that count for DMARC: of aligned identifiers. */
  dkim: z.boolean(),
  spf: z.boolean(),
  /** Domain of the author. */
  from: z.string().max(255),
});
export type ReportRow = z.infer<typeof ReportRow>;

/** A report without its rows. Organisation, id and domain together name it. */
export const ReportHead = z.object({
  organisation: z.string().max(255),
  id: z.string().max(255),
  /** Whose policy was applied. */
  domain: z.string().max(255),
  /** The time that it covers, and when it arrived: ms since 1970. */
  begin: z.number(),
  end: z.number(),
  arrived: z.number(),
  messages: z.number().int().nonnegative(),
  /** Records of it that say no address, number or disposition. */
  unreadable: z.number().int().nonnegative(),
  /** What DMARC said of the mail that brought it; absent where that was not checked. Anybody can write a report. */
  dmarc: DmarcFound.shape.result.optional(),
  /** Of how many parts it is; one without rows has one all the same. */
  parts: z.number().int().positive(),
});
export type ReportHead = z.infer<typeof ReportHead>;

/** One part of a report, as routers tell it. `key` is the same at every node that was sent the report. */
export const ReportPart = z.object({
  key: z.string(),
  head: ReportHead,
  part: z.number().int().nonnegative(),
  rows: z.array(ReportRow).max(REPORT_PART_ROWS),
});
export type ReportPart = z.infer<typeof ReportPart>;
