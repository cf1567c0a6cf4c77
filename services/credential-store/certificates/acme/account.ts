import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { findNek, type Nek } from '#shared/dkim/nek.ts';
import { type SecretPlace, wrapSecret } from '#shared/dkim/secret-wrap.ts';
import { SealpostError } from '#shared/errors.ts';
import { openWith } from '#shared/tls/stored-certificate.ts';
import type { AcmeAccount } from '../../records/certificate-record.ts';
import type { Certificates } from '../../records/certificates.ts';

const placeOf = (directory: string): SecretPlace => ({
  bound: Buffer.from(JSON.stringify(['acme-account', 1, directory])),
  text: `the key of the account at ${directory}`,
});

/**
 * The key of the cluster's account at an authority (EC P-256), made at the first order and the same on every node. One that
 * another NEK than the first of `neks` wraps is wrapped again. One whose NEK is not among them, and wraps no certificate
 * either, is lost with its NEK: accounts are free, so another one takes its place. Fails with `nek-mismatch`, `key-damaged`
 * or as a change does.
 */
export async function accountKey(
  certificates: Certificates,
  directory: string,
  neks: readonly [Nek, ...Nek[]],
): Promise<KeyObject> {
  const [current] = neks;
  const account = certificates.account(directory);
  if (account?.wrapped.nekFingerprint === current.fingerprint) return open(neks, account);
  const isThere = account !== undefined && !isLost(certificates, neks, account);
  const key = isThere ? open(neks, account) : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const next = { directory, wrapped: wrapSecret(current, placeOf(directory), der) };
  der.fill(0);
  // Of two nodes that make one, the first wins.
  const kept = await certificates.updateAccount(directory, (newest) =>
    JSON.stringify(newest) === JSON.stringify(account) ? next : (newest ?? next),
  );
  if (kept === undefined) throw new SealpostError('store-failed', `the account at ${directory} is gone`);
  return open(neks, kept);
}

/** While a certificate has the NEK, this node lacks what others have, and must not take the account from them. */
function isLost(
  certificates: Certificates,
  neks: readonly Nek[],
  { wrapped: { nekFingerprint } }: AcmeAccount,
): boolean {
  if (findNek(neks, nekFingerprint) !== undefined) return false;
  const others = certificates.all().flatMap(({ current, acme }) => [current?.wrapped, acme?.order?.wrapped]);
  return !others.some((wrapped) => wrapped?.nekFingerprint === nekFingerprint);
}

function open(neks: readonly Nek[], { directory, wrapped }: AcmeAccount): KeyObject {
  return createPrivateKey({ key: openWith(neks, placeOf(directory), wrapped), format: 'der', type: 'pkcs8' });
}
