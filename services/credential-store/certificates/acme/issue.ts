import { createRequest } from '#cluster/certificate.ts';
import { assertInTime, hostNames, usablePair } from '#cluster/certificates/pair.ts';
import { loadTlsNeks } from '#cluster/config/nek.ts';
import type { OrderedCertificate } from '#cluster/config/schema/schema.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { type StoredCertificate, unwrapCertificateKey, wrapCertificateKey } from '#shared/tls/stored-certificate.ts';
import type { CertificateDeps } from '../deps.ts';
import { accountKey } from './account.ts';
import { orderFrom, type Prove } from './authority.ts';
import { type Challenge, challengeFor, publishChallenge, removeChallenge } from './dns-challenge.ts';

export type IssueDeps = CertificateDeps & {
  /** Remember the records in DNS before they are written, so that whoever orders next can take them away. */
  remember: (challenges: readonly Challenge[]) => Promise<void>;
};

/**
 * One order, from the key to a certificate that has passed the checks of a listener; its private key leaves this function
 * wrapped only. `left`: the records of an order before this one that may still be in DNS.
 *
 * The certificate that takes the place of another one has the key of that one (RFC 7671 §8.1): a TLSA record 3 1 1 names
 * the key, so it stays true over renewals. With another key, servers that follow DANE would keep all mail for us until
 * somebody published its record, and caches let go of the one before.
 */
export async function issue(
  deps: IssueDeps,
  { name, names, acme }: OrderedCertificate,
  left: readonly Challenge[],
): Promise<StoredCertificate> {
  const { settings, certificates, remember } = deps;
  const neks = await loadTlsNeks(settings.current);
  const account = await accountKey(certificates, acme.directory, neks);
  const current = certificates.get(name)?.current;
  const reused = current && unwrapCertificateKey(neks, { name, ...current });
  const { request, key } = await createRequest(names, reused);
  for (const challenge of left) await takeAway(deps, name, challenge);
  const written: Challenge[] = [];
  const prove: Prove = async (host, value) => {
    const challenge = challengeFor(host, value);
    written.push(challenge);
    await remember(written);
    await publishChallenge(settings.current, challenge);
    return () => takeAway(deps, name, challenge);
  };
  const chain = await orderFrom(acme, account, { names, request, prove });
  const what = `the certificate that ${new URL(acme.directory).host} made`;
  const made = usablePair(what, chain, key);
  assertInTime(what, made, Date.now());
  const missing = names.find((wanted) => !hostNames(made[0]).includes(wanted));
  if (missing !== undefined) throw new SealpostError('acme-failed', `${what} is not for ${missing}`);
  return { name, chain, wrapped: wrapCertificateKey(neks[0], { name, chain }, key) };
}

/** Whoever orders next tries again what fails here. */
async function takeAway({ settings, log }: IssueDeps, certificate: string, challenge: Challenge): Promise<void> {
  try {
    await removeChallenge(settings.current, challenge);
  } catch (error) {
    log.warn({ certificate, record: challenge.name, error: errorText(error) }, 'TXT record could not be removed');
  }
}
