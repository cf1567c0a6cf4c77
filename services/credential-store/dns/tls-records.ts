import { tlsaName, tlsaOfKey } from '#shared/dns/tlsa.ts';
import { isSameText } from '#shared/dns/txt.ts';
import { tlsRptRecordValue } from '#shared/mail/reports/tls-rpt-record.ts';
import { stsRecordValue } from '#shared/mta-sts/own-policy.ts';
import { excerpt } from '#shared/text.ts';
import type { TlsDnsRecord } from '#shared/tls/dns-record.ts';
import type { PublishedValue } from '../records/published-record.ts';
import type { Expectation, Judgement } from './judge.ts';

/**
 * The records by which other servers learn of our TLS: TLSA records of mail hosts (RFC 7672), and the TXT records of MTA-STS
 * (RFC 8461 §3.1) and of TLS reports (RFC 8460 §3). What should be at a name follows from what is asked for and from what
 * was published there before:
 *
 *   TXT    the one value; what we published before is replaced
 *   TLSA   one for each key in use, and for each next one. What was published for
 *            a key that is in use or next               stays
 *            a next key, while no other next is named    stays: its certificate has yet to be used
 *            another next key, or a key that was in use  goes, unless a listener did not say what it uses
 *
 * So a certificate is replaced as RFC 7671 §8.1 and §8.4 want it: the record of the next one beside that of the first; the
 * switch, when no cache has the old set any more; then the old record goes.
 */

/** `obsolete`: values of ours that should not be there any more. */
export type RecordPlan = { values: PublishedValue[]; obsolete: string[] };

/** Where a record is, without the root dot, and its type. */
export function placeOf(record: TlsDnsRecord): { name: string; type: 'TXT' | 'TLSA' } {
  switch (record.kind) {
    case 'tlsa':
      return { name: tlsaName(record.host), type: 'TLSA' };
    case 'mta-sts':
      return { name: `_mta-sts.${record.domain}`, type: 'TXT' };
    case 'tls-rpt':
      return { name: `_smtp._tls.${record.domain}`, type: 'TXT' };
  }
}

/** `before`: what was published at the name. */
export function planOf(record: TlsDnsRecord, before: readonly PublishedValue[]): RecordPlan {
  const wanted = wantedValues(record);
  const kept = before.filter(({ value, role }) => {
    if (record.kind !== 'tlsa' || wanted.some((one) => one.value === value)) return false;
    return role === 'next' ? record.next.length === 0 : !record.complete;
  });
  const values = [...wanted, ...kept].map((one) => {
    const seen = before.find(({ value }) => value === one.value)?.seen;
    return { value: one.value, role: one.role, ...(seen !== undefined && { seen }) };
  });
  const obsolete = before.map(({ value }) => value).filter((value) => !values.some((one) => one.value === value));
  return { values, obsolete };
}

function wantedValues(record: TlsDnsRecord): PublishedValue[] {
  switch (record.kind) {
    case 'tlsa': {
      const next = record.next.filter((key) => !record.used.includes(key));
      return [
        ...record.used.map((key) => ({ value: tlsaOfKey(key), role: 'current' as const })),
        ...next.map((key) => ({ value: tlsaOfKey(key), role: 'next' as const })),
      ];
    }
    case 'mta-sts':
      return [{ value: stsRecordValue(record.id), role: 'current' }];
    case 'tls-rpt':
      return [{ value: tlsRptRecordValue(record.rua), role: 'current' }];
  }
}

/** What the servers should say of the name. */
export function expectPlan(type: 'TXT' | 'TLSA', { values, obsolete }: RecordPlan): Expectation {
  const wanted = values.map(({ value }) => value);
  return {
    type,
    isAbsent: false,
    judge: (texts) => (type === 'TLSA' ? judgeSet(texts, wanted, obsolete) : judgeText(texts, wanted[0] ?? '')),
    isOurs: (texts) => texts.some((text) => [...wanted, ...obsolete].includes(text)),
  };
}

function judgeSet(texts: readonly string[], wanted: readonly string[], obsolete: readonly string[]): Judgement {
  const missing = wanted.filter((value) => !texts.includes(value));
  const left = obsolete.filter((value) => texts.includes(value));
  if (missing.length > 0) return { verdict: 'missing', detail: `does not have ${missing.join(' and ')} there` };
  if (left.length > 0) return { verdict: 'different', detail: `still has ${left.join(' and ')}, which is obsolete` };
  return { verdict: 'ok', detail: wanted.length === 1 ? 'has the record' : `has the ${wanted.length} records` };
}

/** Records with another version are none of this kind, and others pass over them (RFC 8461 §3.1, RFC 8460 §3). */
function judgeText(texts: readonly string[], value: string): Judgement {
  const version = value.slice(0, value.indexOf(';'));
  const ofKind = texts.filter((text) => text.startsWith(version));
  const [only] = ofKind;
  if (only === undefined) return { verdict: 'missing', detail: `has no TXT record ${version} there` };
  if (ofKind.length > 1) {
    const text = `has ${ofKind.length} TXT records ${version} there, and others take none of several: remove all but one`;
    return { verdict: 'duplicate', detail: text };
  }
  if (isSameText(only, value)) return { verdict: 'ok', detail: 'has the record' };
  return { verdict: 'different', detail: `has another one there: ${excerpt(only, 80)}` };
}
