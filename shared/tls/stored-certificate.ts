import { createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { describeNek, describeNeks, findNek, type Nek } from '../dkim/nek.ts';
import { judgeMacs, macsOf, type NekMac, type Verdict } from '../dkim/nek-mac.ts';
import { openSecret, type SecretPlace, WrappedSecret, wrapSecret } from '../dkim/secret-wrap.ts';
import { SealpostError } from '../errors.ts';

/**
 * A certificate of the cluster: its chain in PEM, that of the server first, and its private key under a named encryption
 * key of `tls.nek`, which listeners and credential-stores alone hold: PKCS#8 DER, wrapped (dkim/secret-wrap.ts).
 *
 * The name and the chain are additional authenticated data. So a wrapped key opens only with the chain for which it was
 * wrapped, wherever it was kept, and nobody without the NEK can pair a key with another chain.
 */
export const CertificateName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name of a certificate has up to 63 of a-z, 0-9, ".", "_" and "-"');

/** Bytes of a chain: some 30 certificates. */
const LONGEST_CHAIN = 64 * 1024;

export const StoredCertificate = z.object({
  name: CertificateName,
  chain: z.string().max(LONGEST_CHAIN),
  wrapped: WrappedSecret.refine(({ data }) => data.length <= 16_384, 'not a private key: too long'),
});
export type StoredCertificate = z.infer<typeof StoredCertificate>;
type Identity = Pick<StoredCertificate, 'name' | 'chain'>;

const placeOf = ({ name, chain }: Identity): SecretPlace => ({
  bound: Buffer.from(JSON.stringify(['tls', 1, name, createHash('sha256').update(chain).digest('hex')])),
  text: `the private key of certificate ${name}`,
});

export function wrapCertificateKey(nek: Nek, identity: Identity, privateKey: KeyObject): WrappedSecret {
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  const wrapped = wrapSecret(nek, placeOf(identity), der);
  der.fill(0);
  return wrapped;
}

/** Fails with `nek-mismatch` (none of `neks` wrapped it) or `key-damaged`. */
export function unwrapCertificateKey(neks: readonly Nek[], certificate: StoredCertificate): KeyObject {
  const der = openWith(neks, placeOf(certificate), certificate.wrapped);
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch (cause) {
    const text = `what was wrapped as the private key of certificate ${certificate.name} is not one`;
    throw new SealpostError('key-damaged', text, { cause });
  } finally {
    der.fill(0);
  }
}

/** Open a secret that a NEK of `tls.nek` wrapped. Fails with `nek-mismatch` or `key-damaged`. */
export function openWith(neks: readonly Nek[], place: SecretPlace, wrapped: WrappedSecret): Buffer {
  const nek = findNek(neks, wrapped.nekFingerprint);
  if (nek !== undefined) return openSecret(nek, place, wrapped);
  const needed = describeNek({ name: wrapped.nek, fingerprint: wrapped.nekFingerprint });
  const text = `${place.text} is wrapped with NEK ${needed}, and tls.nek has ${describeNeks(neks)}: add a line with ${needed}`;
  throw new SealpostError('nek-mismatch', text);
}

/** An answer of certificates to a question; what proves that it comes from a process with the NEK, as of `list-proof.ts`. */
export type CertificateList = {
  node: string;
  revision: number;
  behind?: string | undefined;
  next?: string | undefined;
  changed?: readonly string[] | undefined;
  cursor?: string | undefined;
  certificates: readonly StoredCertificate[];
};
export type CertificateQuestion = { nonce: string; since?: string | undefined; after?: string | undefined };

const PURPOSE = 'serving-certificate-list';

export const proveCertificates = (
  neks: readonly Nek[],
  question: CertificateQuestion,
  list: CertificateList,
): NekMac[] => macsOf(neks, PURPOSE, textOf(question, list));

export const judgeCertificates = (
  neks: readonly Nek[],
  question: CertificateQuestion,
  list: CertificateList,
  macs: readonly NekMac[],
): Verdict => judgeMacs(neks, PURPOSE, textOf(question, list), macs);

function textOf({ nonce, since, after }: CertificateQuestion, list: CertificateList): string {
  const { node, revision, behind, next, changed, cursor, certificates } = list;
  return JSON.stringify([
    ...[nonce, since ?? null, after ?? null],
    ...[node, revision, behind ?? null, next ?? null, changed ?? null, cursor ?? null],
    ...certificates.map(({ name, chain, wrapped: { nek, nekFingerprint, iv, tag, data } }) => [
      ...[name, chain, nek, nekFingerprint, iv, tag, data],
    ]),
  ]);
}
