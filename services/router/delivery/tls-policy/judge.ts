import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { fullName } from '#cluster/certificates/describe.ts';
import { errorText } from '#shared/errors.ts';
import { type CertificateVerdict, readableTime } from '#shared/mail/tls.ts';
import { chainProblemText } from '#shared/tls/chain-problem.ts';
import { type Verified, verifyByDane } from '../dane/verify.ts';
import type { TlsFailure } from './result.ts';
import type { Target } from './wanted.ts';

/** What the certificate of a peer is worth: by its names, its chain and its TLSA records. Looked at in every handshake. */

/** What a handshake showed. */
export type Shown = {
  /** The certificate of the peer first. To be called once. */
  presented: () => X509Certificate[];
  /** Why no trusted authority stands behind it: a code of OpenSSL, such as `CERT_HAS_EXPIRED`; undefined: one does. */
  chainProblem: string | undefined;
};

/** `failure`: in the terms of reports, where the certificate is not what an authority or the records say. */
export type Judgement = {
  verdict: CertificateVerdict;
  verified?: Verified;
  web?: { type: TlsFailure; reason: string };
  dane?: { type: TlsFailure; reason: string };
};

/** The certificate of a host by what is known of the host. Never throws. */
export function judge({ presented, chainProblem }: Shown, { name, dane }: Target): Judgement {
  let certificates: X509Certificate[];
  try {
    certificates = presented();
  } catch (error) {
    const problem = `the certificate cannot be read: ${errorText(error)}`;
    const failure = { type: 'validation-failure', reason: problem } as const;
    return { verdict: { name: false, chain: false, problem }, web: failure, dane: failure };
  }
  const web = webProblem(certificates[0], name, chainProblem);
  const expires = certificates[0] && readableTime(certificates[0].validToDate);
  const verdict: CertificateVerdict = {
    name: certificates[0] !== undefined && isFor(certificates[0], name),
    chain: chainProblem === undefined && certificates.length > 0,
    ...(expires !== undefined && { expires }),
    ...(web !== undefined && { problem: web.reason }),
  };
  if (dane?.kind !== 'records') return { verdict, ...(web && { web }) };
  const found = byDane(certificates, dane);
  if ('verified' in found)
    return { verdict: { ...verdict, dane: found.verified }, verified: found.verified, ...(web && { web }) };
  const failure = { type: 'validation-failure', reason: found.refused } as const;
  return { verdict: { ...verdict, dane: 'mismatch', problem: found.refused }, dane: failure, ...(web && { web }) };
}

function byDane(certificates: X509Certificate[], { records, names }: Extract<Target['dane'], { kind: 'records' }>) {
  try {
    return verifyByDane(certificates, { records, names, now: Date.now() });
  } catch (error) {
    return { refused: `the certificate cannot be read: ${errorText(error)}` };
  }
}

function webProblem(leaf: X509Certificate | undefined, name: string, chainProblem: string | undefined) {
  if (leaf === undefined) return { type: 'certificate-not-trusted', reason: 'it presented no certificate' } as const;
  if (chainProblem !== undefined) {
    const type = chainProblem === 'CERT_HAS_EXPIRED' ? 'certificate-expired' : 'certificate-not-trusted';
    return { type, reason: `the certificate ${chainProblemText(chainProblem, 'server')}` } as const;
  }
  if (isFor(leaf, name)) return undefined;
  return {
    type: 'certificate-host-mismatch',
    reason: `the certificate is not for ${name}, but for ${namesOf(leaf)}`,
  } as const;
}

/** By its names or, for an address, its addresses (RFC 9525 §6; RFC 8461 §4.2 for mail exchangers). */
function isFor(certificate: X509Certificate, name: string): boolean {
  const found = isIP(name) === 0 ? certificate.checkHost(name, { partialWildcards: false }) : certificate.checkIP(name);
  return found !== undefined;
}

function namesOf({ subjectAltName, subject }: X509Certificate): string {
  const text = subjectAltName ?? fullName(subject);
  return text === '' ? 'no name' : text.replaceAll(/\b(DNS|IP Address):/g, '').slice(0, 200);
}
