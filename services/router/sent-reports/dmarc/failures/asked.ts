import { domainOf } from '#shared/address/address.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Origin } from '#shared/mail/envelope.ts';
import { DOMAIN } from '../../names.ts';

/** Which messages a failure report is made of. Pure. */

/** A message, as the reports know it. */
export type Failed = {
  queueId: string;
  trace: string;
  origin: Pick<Origin, 'client'>;
  reversePath: string;
  /** Addresses that the message was sent to, before and after aliases. */
  recipients: readonly string[];
  /** ms since 1970 */
  arrived: number;
  /** Delivery-Result (RFC 6591 §3.2.2). */
  result: 'delivered' | 'spam' | 'reject' | 'other';
};

/** Whose report it is: the domain of the author, that of the record, and the addresses in it. */
export type Asked = { from: string; domain: string; ruf: string };

/**
 * What the record of a message asks for; undefined: no report. Only mail that fails DMARC is reported. RFC 9989 §4.7 would
 * have `fo=1` ask for mail that passes by one of SPF and DKIM too, and leaves it to us: that is genuine mail, most of it
 * forwarded, whose recipients are nobody else's business. A null reverse-path gets none, as it is that of reports.
 */
export function asked(found: Authenticity, { reversePath }: Pick<Failed, 'reversePath'>): Asked | undefined {
  const { result, from = '', record } = found.dmarc;
  if (result !== 'fail' || record?.ruf === undefined || domainOf(reversePath) === '') return undefined;
  if (!DOMAIN.test(from) || !DOMAIN.test(record.domain) || !asksFor(record.fo, found)) return undefined;
  return { from, domain: record.domain, ruf: record.ruf };
}

/** RFC 9989 §4.7, `fo`. Of mail that fails, 0 and 1 are all; d and s that with a signature, or SPF, that failed itself. */
function asksFor(fo: string | undefined, { spf, dkim }: Authenticity): boolean {
  const options = new Set((fo ?? '').toLowerCase().match(/[01ds]/g) ?? ['0']);
  if (options.has('0') || options.has('1')) return true;
  const bySignature = dkim.some(({ result }) => result !== 'pass' && result !== 'temperror');
  return (options.has('d') && bySignature) || (options.has('s') && SPF_FAILED.has(spf.result));
}

const SPF_FAILED: ReadonlySet<string> = new Set(['fail', 'softfail', 'permerror']);
