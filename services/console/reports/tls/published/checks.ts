import type { DnsAnswer } from '#shared/dns/resolver.ts';
import { tlsaOfKey, tlsaText } from '#shared/dns/tlsa.ts';
import { isSameText } from '#shared/dns/txt.ts';
import { tlsRptRecordValue } from '#shared/mail/reports/tls-rpt-record.ts';
import { type Finding, listText } from '../../doctor/finding.ts';
import type { TlsFacts } from '../facts.ts';
import type { PublishedHost } from './facts.ts';
import { STS_CHECKS, unknown } from './sts-checks.ts';

/** Whether DNS and the web say of our TLS what the nodes show: otherwise servers that go by it do not deliver, or do not look. */

export const PUBLISHED_CHECKS: Record<string, (facts: TlsFacts) => Finding[]> = {
  'shown-incomplete': ({ published }) =>
    (published?.shown.silent ?? []).map(({ node, reason }) => ({
      ...{ severity: 'note', about: node },
      text: `does not say which certificates it uses (${reason}), so the TLSA records of its host are not looked at`,
      help: `start it; if it was taken out for good, "sealpost cluster forget ${node}"`,
    })),

  'dns-tlsa': ({ published }) => (published?.hosts ?? []).flatMap(tlsaFindings),

  ...STS_CHECKS,

  'dns-tls-rpt': ({ published }) =>
    (published?.domains ?? []).flatMap(({ domain, reports }) =>
      reports === undefined ? [] : reportFindings(domain, reports.rua, reports.record),
    ),
};

const PUBLISH = 'run "sealpost tls publish"';

function tlsaFindings({ host, keys, tlsa }: PublishedHost): Finding[] {
  if (tlsa.kind === 'trouble') {
    const text = `whether it has TLSA records cannot be told (${tlsa.error})`;
    const help = 'see that dns.servers answer; where the zone itself fails, servers that follow DANE keep their mail';
    return [{ severity: 'warning', about: host, text, help }];
  }
  if (tlsa.kind === 'none') {
    if (!tlsa.authenticated) return [];
    const text = 'its zone is signed (DNSSEC) and has no TLSA record, so nobody knows that it always has TLS';
    return [{ severity: 'note', about: host, text, help: PUBLISH }];
  }
  const records = tlsa.records.map(textOf);
  const wanted = keys.map(tlsaOfKey);
  const missing = wanted.filter((record) => !records.includes(record));
  const others = records.filter((record) => !wanted.includes(record));
  if (missing.length > 0) return [missingFinding(host, { missing, others, isProven: tlsa.authenticated })];
  if (others.length === 0) return [];
  const text = `has ${others.length} TLSA record${others.length === 1 ? '' : 's'} besides, of no key that is in use: ${listText(others)}`;
  return [
    { severity: 'note', about: host, text, help: `${PUBLISH}, which removes ours; leave one of a next certificate` },
  ];
}

/** Only proven records count (RFC 7672 §2.2), and one of another form than ours may well be of the certificate. */
function missingFinding(
  host: string,
  { missing, others, isProven }: { missing: string[]; others: string[]; isProven: boolean },
): Finding {
  const isOther = others.some((record) => !record.startsWith('3 1 1 '));
  const severity = isProven && !isOther ? 'error' : 'warning';
  const fate = isOther
    ? 'and others, which cannot be compared here'
    : 'so servers that follow DANE do not deliver to it';
  const text = `has TLSA records, but not that of the key in use (${listText(missing)}), ${fate}`;
  return { severity, about: host, text, help: `${PUBLISH}, or remove the TLSA records` };
}

function textOf(rdata: Buffer): string {
  try {
    return tlsaText(rdata);
  } catch {
    return rdata.toString('hex');
  }
}

/** Of several records none counts (RFC 8460 §3). */
function reportFindings(domain: string, rua: readonly string[], answer: DnsAnswer<'TXT'>): Finding[] {
  const name = `_smtp._tls.${domain}`;
  const found = (text: string, help: string): Finding[] => [{ severity: 'warning', about: name, text, help }];
  if (answer.kind === 'trouble') return found(...unknown(answer.error));
  const records = answer.kind === 'found' ? answer.records.filter((text) => /^v=TLSRPTv1[ \t]*;/.test(text)) : [];
  const [record] = records;
  if (record === undefined) return found('is not in DNS, so nobody sends reports (tls-rpt)', PUBLISH);
  if (records.length > 1)
    return found(`is there ${records.length} times, so nobody sends reports`, 'remove all but one');
  if (isSameText(record, tlsRptRecordValue(rua))) return [];
  return found(`says "${record}", and tls-rpt.rua is ${listText(rua)}`, `${PUBLISH}, or correct tls-rpt.rua`);
}
