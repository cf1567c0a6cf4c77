import { createPublicKey, type KeyObject } from 'node:crypto';
import type { KeyAlgorithm } from '#services/credential-store/contract.ts';
import type { KeyRecord } from '#services/credential-store/domain-record.ts';
import { checkKeyName, type KeyName } from '#services/credential-store/key-name.ts';
import { assertCurrent } from '#services/credential-store/nek-check.ts';
import type { Office } from '#services/credential-store/operations/office.ts';
import { publicationFor } from '#services/credential-store/publication.ts';
import { SealpostError } from '#shared/errors.ts';
import { unwrapKey, type WrappedKey } from '#shared/key-wrap.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/public-key.ts';

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
  { settings, records, maker, neks }: Office,
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
