import { tlsaName } from '#shared/dns/tlsa.ts';
import { tlsRptRecordName } from '#shared/mail/reports/tls-rpt-record.ts';
import { stsRecordName } from '#shared/mta-sts/own-policy.ts';
import { type OwnRecords, policyDomains } from './own-records.ts';
import type { Shown } from './shown.ts';

/**
 * Which of the names that we published something at are not about anything of ours any more. What nodes show decides of TLSA
 * records and of policies, so while one is silent none of these is withdrawn.
 */

/** `domains`: what the command is about, and whether that is all of them. `published`: names in DNS. */
export type Withdrawal = { domains: readonly string[]; all: boolean; published: readonly string[] };

export function withdrawnNames(
  shown: Shown,
  { records }: OwnRecords,
  { domains, all, published }: Withdrawal,
): string[] {
  const wanted = new Set(
    records.map((record) => {
      if (record.kind === 'tlsa') return tlsaName(record.host);
      return record.kind === 'mta-sts' ? stsRecordName(record.domain) : tlsRptRecordName(record.domain);
    }),
  );
  // Where nodes differ about a policy no record was made, and the one that is there stays.
  for (const domain of policyDomains(shown)) wanted.add(stsRecordName(domain));
  const asked = new Set(domains.flatMap((domain) => [stsRecordName(domain), tlsRptRecordName(domain)]));
  const isCertain = (name: string): boolean => shown.silent.length === 0 || name.startsWith(tlsRptRecordName(''));
  return published.filter((name) => !wanted.has(name) && (all || asked.has(name)) && isCertain(name));
}
