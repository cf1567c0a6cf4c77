import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Nek } from '#shared/dkim/nek.ts';
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
 * another NEK than the first of `neks` wraps is wrapped again. Fails with `nek-mismatch`, `key-damaged` or as a change does.
 */
export async function accountKey(
  certificates: Certificates,
  directory: string,
  neks: readonly [Nek, ...Nek[]],
): Promise<KeyObject> {
  const [current] = neks;
  const account = certificates.account(directory);
  if (account?.wrapped.nekFingerprint === current.fingerprint) return open(neks, account);
  const key =
    account === undefined ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey : open(neks, account);
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

function open(neks: readonly Nek[], { directory, wrapped }: AcmeAccount): KeyObject {
  return createPrivateKey({ key: openWith(neks, placeOf(directory), wrapped), format: 'der', type: 'pkcs8' });
}
