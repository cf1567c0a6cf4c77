import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { fullName } from '#cluster/certificates/describe.ts';
import { readCertificate } from '#shared/certificate.ts';
import type { Outcome } from '#shared/mail/envelope.ts';
import { readableTime } from '#shared/mail/tls.ts';
import type { TlsaRecord } from './records.ts';

/**
 * Whether the certificates that a host presents are what its TLSA records name.
 *
 * DANE-EE: the certificate of the host matches a record. Nothing else counts, neither its names nor its dates (RFC 7672
 * §3.1.1): the record says for which host and for how long.
 *
 * DANE-TA: a chain of signatures leads from the certificate of the host to a certificate that matches, or to a key that a
 * record holds (RFC 7672 §3.1.2). Every certificate on the way is valid today, all but the first are authorities, and the
 * first is for one of the names. The anchor is presented by the host, or stands in the record as it is. A certificate with a
 * critical extension that is not checked here, such as name constraints, leads nowhere (RFC 5280 §4.2).
 */

export type Verified = NonNullable<NonNullable<Outcome['tls']>['verified']>;
export type Verdict = { verified: Verified } | { refused: string };
/** What the certificates must be, and when. */
export type Expectation = { records: readonly TlsaRecord[]; names: readonly string[]; now: number };

/** Certificates of a chain that are looked at; each may cost a check of a signature for each other one. */
const MOST_CERTIFICATES = 12;
/** Critical extensions that are understood: key usage, alternative names, basic constraints, policies, extended key usage. */
const UNDERSTOOD = new Set(['551d0f', '551d11', '551d13', '551d20', '551d25']);
/** Extended key usages that a server may have: serverAuth, any. */
const SERVER_USAGES = new Set(['1.3.6.1.5.5.7.3.1', '2.5.29.37.0']);
const MISMATCH = 'the certificate matches none of its TLSA records';

/** `presented`: the certificate of the host first. */
export function verifyByDane(presented: readonly X509Certificate[], expected: Expectation): Verdict {
  const [leaf, ...others] = presented.slice(0, MOST_CERTIFICATES);
  if (leaf === undefined) return { refused: 'it presented no certificate' };
  const { records } = expected;
  if (records.some((record) => record.usage === 3 && matches(record, leaf))) return { verified: 'dane-ee' };
  const anchors = records.filter(({ usage }) => usage === 2);
  return anchors.length === 0 ? { refused: MISMATCH } : byAnchor(leaf, others, { ...expected, records: anchors });
}

function byAnchor(leaf: X509Certificate, others: X509Certificate[], { records, names, now }: Expectation): Verdict {
  const whole = records.filter(({ matching }) => matching === 0);
  const fromRecords = whole.filter(({ selector }) => selector === 0).map(({ data }) => new X509Certificate(data));
  const keys = whole.filter(({ selector }) => selector === 1).map(({ data }) => keyOf(data));
  const problem = problemOf(leaf, now);
  if (problem !== undefined) return { refused: `the certificate ${problem}` };
  let refused = MISMATCH;
  const candidates = new Set([...others, ...fromRecords]);
  // Each certificate is reached once, however many ways lead to it.
  const reached = [leaf];
  for (const certificate of reached) {
    if (keys.some((key) => isSignedBy(certificate, key))) return ofName(leaf, names);
    for (const issuer of candidates) {
      if (!isIssuedBy(certificate, issuer)) continue;
      candidates.delete(issuer);
      const trouble = issuer.ca ? problemOf(issuer, now) : 'is not one of an authority';
      if (trouble !== undefined) refused = `the certificate of ${nameOf(issuer)} in its chain ${trouble}`;
      else if (records.some((record) => matches(record, issuer))) return ofName(leaf, names);
      else reached.push(issuer);
    }
  }
  return { refused };
}

function ofName(leaf: X509Certificate, names: readonly string[]): Verdict {
  // RFC 7672 §3.2.3: a wildcard stands for the whole of the first label; the subject counts where there are no other names.
  if (names.some((name) => leaf.checkHost(name, { partialWildcards: false }) !== undefined)) {
    return { verified: 'dane-ta' };
  }
  return { refused: `the certificate is not for ${names.join(' or ')}` };
}

/** Why a certificate leads nowhere. */
function problemOf(certificate: X509Certificate, now: number): string | undefined {
  const { validFromDate, validToDate, keyUsage, ca } = certificate;
  if (readableTime(validFromDate) === undefined || readableTime(validToDate) === undefined)
    return 'has dates that cannot be read';
  if (now < validFromDate.getTime()) return `is not valid before ${validFromDate.toISOString()}`;
  if (now > validToDate.getTime()) return `was valid until ${validToDate.toISOString()}`;
  if (!ca && keyUsage !== undefined && !keyUsage.some((usage) => SERVER_USAGES.has(usage))) return 'is not for servers';
  const strange = readCertificate(certificate.raw).critical.filter((id) => !UNDERSTOOD.has(id));
  return strange.length === 0 ? undefined : `has critical extensions that are not checked here (${strange.join(', ')})`;
}

function matches({ selector, matching, data }: TlsaRecord, certificate: X509Certificate): boolean {
  const compared = selector === 0 ? certificate.raw : exactKey(certificate);
  if (compared === undefined) return false;
  if (matching === 0) return data.equals(compared);
  return data.equals(
    createHash(matching === 1 ? 'sha256' : 'sha512')
      .update(compared)
      .digest(),
  );
}

/** The key as it stands in the certificate; undefined where the handshake used another one than that. */
function exactKey(certificate: X509Certificate): Buffer | undefined {
  const { key } = readCertificate(certificate.raw);
  return keyOf(key).equals(certificate.publicKey) ? key : undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && isSignedBy(certificate, issuer.publicKey);
}

/** SHA-1 and MD5 prove nothing any more: whose signature it is can be made up. */
function isSignedBy(certificate: X509Certificate, key: KeyObject): boolean {
  if (/sha1(?!\d)|md5/i.test(certificate.signatureAlgorithm ?? '') || !isCheap(key)) return false;
  try {
    return certificate.verify(key);
  } catch {
    // The key is of another kind than the signature.
    return false;
  }
}

/** RSA takes a thousand times as long with a long exponent, which nobody has but to make others work. */
function isCheap({ asymmetricKeyDetails: { modulusLength = 0, publicExponent = 0n } = {} }: KeyObject): boolean {
  return modulusLength <= 8192 && publicExponent < 2n ** 33n;
}

function keyOf(data: Buffer): KeyObject {
  return createPublicKey({ key: data, format: 'der', type: 'spki' });
}

function nameOf({ subject }: X509Certificate): string {
  return fullName(subject) || 'an authority without a name';
}
