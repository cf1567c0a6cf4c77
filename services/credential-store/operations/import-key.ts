import type { KeyObject } from 'node:crypto';
import { algorithmNameOf } from '#shared/dkim/algorithms.ts';
import { checkNameInUse, type KeyName } from '#shared/dkim/key-name.ts';
import { unwrapKey, type WrappedKey } from '#shared/dkim/key-wrap.ts';
import { publicKeyFingerprint, publishedBytes } from '#shared/dkim/public-key.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm } from '#shared/keys/key.ts';
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
 * A key that was made elsewhere, wrapped by the caller. It is opened once to check that it is what the request says:
 * otherwise a key that cannot sign would be noticed only when mail waits. Fails with `key-damaged`, `nek-mismatch`,
 * `no-nek`, `weak-key`, `invalid-name` or `not-configured`.
 */
export async function importedKey(
  { settings, records, maker, neks }: OperationDeps,
  request: ImportRequest,
): Promise<{ name: KeyName; key: KeyRecord }> {
  const { algorithm, publicKey, wrapped, allowWeak } = request;
  const name = checkNameInUse(request);
  maker.assertStrong(name, algorithm, allowWeak);
  const nek = await neks.current();
  assertCurrent(records, wrapped);
  const published = publishedPart(unwrapKey(nek, { ...name, algorithm }, wrapped), { ...request, ...name });
  const publication = publicationFor(name, settings.current);
  const parts = { publicKey, fingerprint: publicKeyFingerprint(published), wrapped, publication };
  return { name, key: maker.record(name, algorithm, parts, true) };
}

/** The bytes of p=. Fails with `key-damaged` unless the private key is of the algorithm and fits the public key. */
function publishedPart(privateKey: KeyObject, { domain, selector, algorithm, publicKey }: ImportRequest): Buffer {
  const what = `the key ${selector} of ${domain} to be imported`;
  const found = algorithmNameOf(privateKey);
  if (found !== algorithm) {
    throw new SealpostError('key-damaged', `${what} should be ${algorithm}, but is ${found}`);
  }
  const published = publishedBytes(privateKey);
  if (published.toString('base64') === publicKey) return published;
  throw new SealpostError('key-damaged', `${what} does not match the public key that came with it`);
}
