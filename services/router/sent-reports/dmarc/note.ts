import { z } from 'zod';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import type { Authenticity, DkimFound } from '#shared/mail/authenticity.ts';
import type { Origin } from '#shared/mail/envelope.ts';
import { DmarcRow, PublishedPolicy } from '#shared/mail/reports/dmarc-rows.ts';
import { DOMAIN, plainAddress } from '../names.ts';

/** What the reports count of a message. Pure. */

export const Note = z.object({
  /** ms since 1970 */
  at: z.number(),
  domain: z.string(),
  published: PublishedPolicy,
  row: DmarcRow,
});
export type Note = z.infer<typeof Note>;

/**
 * The note of a message; undefined where no report is asked for, or where DMARC came to no result. `at`: ms since 1970.
 */
export function noteOf(
  found: Authenticity | undefined,
  { origin, reversePath, at }: { origin: Pick<Origin, 'client'>; reversePath: string; at: number },
): Note | undefined {
  const { from = '', record, result } = found?.dmarc ?? {};
  if (found === undefined || record?.rua === undefined || (result !== 'pass' && result !== 'fail')) return undefined;
  const { domain, p, sp, np, adkim, aspf, testing, fo, rua } = record;
  if (!DOMAIN.test(domain) || !DOMAIN.test(from)) return undefined;
  const envelopeFrom = normalizeDomain(domainOf(reversePath));
  const row = rowOf(found, { source: plainAddress(origin.client.address), headerFrom: from, envelopeFrom });
  return { at, domain, published: { p, sp, np, adkim, aspf, testing, fo, rua }, row };
}

/** The order of the keys is part of what tells rows apart (counts.ts). */
function rowOf(
  { spf, dkim, dmarc }: Authenticity,
  known: { source: string; headerFrom: string; envelopeFrom: string },
): DmarcRow {
  const { source, headerFrom, envelopeFrom } = known;
  return {
    source,
    disposition: dispositionOf(dmarc),
    dkim: dmarc.dkimAligned,
    spf: dmarc.spfAligned,
    ...reasonOf(dmarc),
    headerFrom,
    envelopeFrom: envelopeFrom.slice(0, 255),
    ...(spf.domain === '' ? {} : { spfFound: { domain: spf.domain, result: spf.result } }),
    dkimFound: dkim
      .toSorted((a, b) => rank(a, headerFrom) - rank(b, headerFrom))
      .flatMap(({ domain, selector, result }) =>
        domain === undefined || selector === undefined ? [] : [{ domain, selector, result }],
      ),
  };
}

function dispositionOf({ result, policy, disposition }: Authenticity['dmarc']): DmarcRow['disposition'] {
  if (result !== 'pass') return disposition;
  return policy === undefined || policy === 'none' ? 'none' : 'pass';
}

/** RFC 9990 §3.1.1.8: there must be one where something else was done than the policy asks for. */
function reasonOf({ result, policy, disposition, override }: Authenticity['dmarc']): Pick<DmarcRow, 'reason'> {
  if (result === 'pass') return {};
  if (override !== undefined) return { reason: override };
  return policy === undefined || policy === disposition ? {} : { reason: { type: 'local_policy' } };
}

/** RFC 9990 §3.1.3: which signatures come first. */
function rank({ result, aligned, domain }: DkimFound, from: string): number {
  if (result !== 'pass') return 3;
  if (domain === from) return 0;
  return aligned ? 1 : 2;
}
