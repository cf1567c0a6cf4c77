import { createPublicKey, type KeyObject } from 'node:crypto';
import { checkKeyName, type KeyName } from '#shared/dkim/key-name.ts';
import { unwrapKey, type WrappedKey } from '#shared/dkim/key-wrap.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm } from '../contract.ts';
import { publicationFor } from '../dns/publication.ts';
import { assertCurrent } from '../neks/nek-check.ts';
import type { KeyRecord } from '../records/domain-record.ts';
import type { OperationDeps } from './deps.ts';

type ImportRequest = KeyName & {
  algorithm: KeyAlgorithm;
  publicKey: string;
  wrapped: WrappedKey;
  allowWeak: boolean;
};

/**
 * A key that was made elsewhere and wrapped by who brought it. It is opened once, to see that it is what it is said to
 * be: a key that could not sign would be found out only by mail that waits. Fails with `key-damaged`, `nek-mismatch`,
 * `no-nek`, `weak-key`, `invalid-name` or `not-configured`.
 */
export async function importedKey(
  { settings, records, maker, neks }: OperationDeps,
  request: ImportRequest,
): Promise<{ name: KeyName; key: KeyRecord }> {
  const { algorithm, wrapped, allowWeak } = request;
  const name = checkKeyName(request);
  maker.assertStrong(name, algorithm, allowWeak);
  const nek = await neks.current();
  assertCurrent(records, wrapped);
  const privateKey = unwrapKey(nek, { ...name, algorithm }, wrapped);
  const published = publishedBytes(createPublicKey(privateKey));
  assertKind(name, algorithm, published, request.publicKey, privateKey);
  const publication = publicationFor(name, settings.current);
  const parts = { publicKey: request.publicKey, fingerprint: publicKeyFingerprint(published), wrapped, publication };
  return { name, key: maker.record(name, algorithm, parts, true) };
}

function assertKind(
  { domain, selector }: KeyName,
  algorithm: KeyAlgorithm,
  published: Buffer,
  publicKey: string,
  privateKey: KeyObject,
): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = privateKey;
  const found = type === 'rsa' ? `rsa-${details?.modulusLength}` : type;
  const what = `the key ${selector} of ${domain} to be imported`;
  if (found !== algorithm)
    throw new SealpostError('key-damaged', `${what} is said to be ${algorithm}, but is ${found}`);
  if (published.toString('base64') === publicKey) return;
  throw new SealpostError('key-damaged', `${what} does not fit the public key that came with it`);
}
