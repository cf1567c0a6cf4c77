import { tlsaName, tlsaOfKey } from '#shared/dns/tlsa.ts';
import { isSameText } from '#shared/dns/txt.ts';
import { tlsRptRecordName, tlsRptRecordValue } from '#shared/mail/reports/tls-rpt-record.ts';
import { stsRecordName, stsRecordValue } from '#shared/mta-sts/own-policy.ts';
import { excerpt } from '#shared/text.ts';
import type { TlsDnsRecord } from '#shared/tls/dns-record.ts';
import type { Published, PublishedValue } from '../records/published-record.ts';
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
 *            another next key                            goes
 *            a key that was in use                       goes, unless a listener did not say what it uses, or a node that
 *                                                        showed it was not heard since then
 *
 * A node that is stopped is forgotten by the others within a day, or with their next start, and comes back with the
 * certificate that it had. So each value remembers the nodes that showed its key, until they say that they do not, or an
 * administrator says that they are gone (`cluster forget`). A record that stays too long does no harm: one that matches is
 * enough (RFC 7671 §8.1).
 *
 * What is not asked for any more is withdrawn: only what we published there goes. The record of an MTA-STS policy stays until
 * no sender has a policy that asks for something (RFC 8461 §8.3); `maxAge` and `kept` of the stored record say when that is.
 *
 * A certificate is replaced as RFC 7671 §8.1 and §8.4 want it: the record of the next one beside that of the first; the
 * switch, when no cache has the old set any more; then the old record goes.
 */

/** `obsolete`: values of ours that should not be there any more. `stays`: those that are not asked for, and the nodes why. */
export type RecordPlan = { values: PublishedValue[]; obsolete: string[]; stays: ReadonlyMap<string, string[]> };

/** Where a record is, without the root dot, and its type. */
export function placeOf(record: TlsDnsRecord): { name: string; type: 'TXT' | 'TLSA' } {
  switch (record.kind) {
    case 'tlsa':
      return { name: tlsaName(record.host), type: 'TLSA' };
    case 'mta-sts':
      return { name: stsRecordName(record.domain), type: 'TXT' };
    case 'tls-rpt':
      return { name: tlsRptRecordName(record.domain), type: 'TXT' };
  }
}

/** The type of what we publish at a name. */
export const typeAt = (name: string): 'TXT' | 'TLSA' => (name.startsWith('_25._tcp.') ? 'TLSA' : 'TXT');

/** `before`: what was published at the name. */
export function planOf(record: TlsDnsRecord, before: readonly PublishedValue[]): RecordPlan {
  const wanted = wantedValues(record);
  const kept = before.filter((one) => {
    if (record.kind !== 'tlsa' || wanted.some(({ value }) => value === one.value)) return false;
    if (one.role === 'next') return record.next.length === 0;
    return !record.complete || waitingFor(one, record.answered).length > 0;
  });
  const values = [...wanted, ...kept].map(({ value, role }) => {
    const former = before.find((one) => one.value === value);
    const nodes = record.kind === 'tlsa' ? nodesOf(value, record, former) : [];
    return {
      ...{ value, role },
      ...(former?.seen !== undefined && { seen: former.seen }),
      ...(nodes.length > 0 && { nodes }),
    };
  });
  const obsolete = before.map(({ value }) => value).filter((value) => !values.some((one) => one.value === value));
  const answered = record.kind === 'tlsa' ? record.answered : undefined;
  return { values, obsolete, stays: new Map(kept.map((one) => [one.value, waitingFor(one, answered)])) };
}

/** The nodes that showed the key of a TLSA record, and are not among those that answered. */
export function waitingFor({ nodes = [] }: PublishedValue, answered: readonly string[] = []): string[] {
  return nodes.filter((node) => !answered.includes(node));
}

function nodesOf(
  value: string,
  { shownBy = [], answered }: TlsDnsRecord & { kind: 'tlsa' },
  former: PublishedValue | undefined,
): string[] {
  const showing = shownBy.filter(({ key }) => tlsaOfKey(key) === value).map(({ node }) => node);
  return [...new Set([...showing, ...(former === undefined ? [] : waitingFor(former, answered))])].sort();
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

/** The longest `max_age` (RFC 8461 §3.2): of a policy that nothing is known of. */
const LONGEST_AGE_MS = 31_557_600_000;

/**
 * What the record of a policy says from now on of how long senders keep it and those before (RFC 8461 §8.3): every one that
 * was served may have been fetched a moment ago. `maxAge` is that of the policy from now on, in ms; 0 where it asks for nothing.
 */
export function ageAfter(before: Published, { value, maxAge }: { value?: string; maxAge: number }, now: number) {
  const isSame = value !== undefined && before.values.some((one) => one.value === value);
  const former = before.maxAge ?? (before.values.length === 0 || isSame ? 0 : LONGEST_AGE_MS);
  const kept = former > 0 && former !== maxAge ? Math.max(before.kept ?? 0, now + former) : before.kept;
  return { maxAge, ...(kept !== undefined && { kept }) };
}

/** That none of these values is there any more; others may be. */
export function expectNone(type: 'TXT' | 'TLSA', ours: readonly string[]): Expectation {
  return {
    type,
    isAbsent: false,
    judge: (texts) => {
      const left = oursAmong(type, texts, ours);
      if (left.length === 0) return { verdict: 'ok', detail: 'has nothing of ours there' };
      return { verdict: 'different', detail: `still has ${left.map((text) => excerpt(text, 80)).join(' and ')}` };
    },
    isOurs: (texts) => oursAmong(type, texts, ours).length > 0,
  };
}

/** Those of the records that are ours, as they stand there. */
export function oursAmong(type: 'TXT' | 'TLSA', texts: readonly string[], ours: readonly string[]): string[] {
  return texts.filter((text) => ours.some((own) => (type === 'TXT' ? isSameText(text, own) : text === own)));
}

/** What the servers should say of the name. */
export function expectPlan(
  type: 'TXT' | 'TLSA',
  { values, obsolete }: Pick<RecordPlan, 'values' | 'obsolete'>,
): Expectation {
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
