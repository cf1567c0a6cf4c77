import { createPrivateKey, type KeyObject } from 'node:crypto';
import { SealpostError } from '../errors.ts';
import { describeNek, type Nek } from './nek.ts';
import { openSecret, type SecretPlace, unwrapSecret, WrappedSecret, wrapSecret } from './secret-wrap.ts';

/**
 * Private keys under a named encryption key: PKCS#8 DER, wrapped (secret-wrap.ts). Version, domain, selector and
 * algorithm are additional authenticated data, so that a wrapped key opens only under the name for which it was wrapped.
 */

/** What a wrapped key is bound to. `domain` in lower-case A-labels. */
export type KeyIdentity = { domain: string; selector: string; algorithm: string };

export const WrappedKey: typeof WrappedSecret = WrappedSecret;
export type WrappedKey = WrappedSecret;

const placeOf = (id: KeyIdentity): SecretPlace => ({
  bound: Buffer.from(JSON.stringify([1, id.domain, id.selector, id.algorithm])),
  text: `the key ${id.selector} of ${id.domain}`,
});

/** Wrap a private key. */
export function wrapKey(nek: Nek, id: KeyIdentity, privateKey: KeyObject): WrappedKey {
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  const wrapped = wrapSecret(nek, placeOf(id), der);
  der.fill(0);
  return wrapped;
}

/**
 * Unwrap a key with the one of `neks` that wrapped it. Fails with `nek-mismatch` (it was none of them) or `key-damaged`.
 */
export function unwrapWith(neks: readonly Nek[], id: KeyIdentity, wrapped: WrappedKey): KeyObject {
  return parseKey(unwrapSecret(neks, placeOf(id), wrapped), id);
}

/**
 * Unwrap a key. Fails with `nek-mismatch` (another NEK wrapped it) or `key-damaged` (it differs from what was wrapped).
 */
export function unwrapKey(nek: Nek, id: KeyIdentity, wrapped: WrappedKey): KeyObject {
  assertWrappedBy(nek, id, wrapped);
  return parseKey(openSecret(nek, placeOf(id), wrapped), id);
}

function parseKey(der: Buffer, id: KeyIdentity): KeyObject {
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch (error) {
    const text = `${placeOf(id).text} is not a private key: something else was wrapped`;
    throw new SealpostError('key-damaged', text, { cause: error });
  } finally {
    der.fill(0);
  }
}

/** Fails with `nek-mismatch` when another NEK wrapped the key. */
function assertWrappedBy(nek: Nek, id: { domain: string; selector: string }, wrapped: WrappedKey): void {
  if (wrapped.nekFingerprint === nek.fingerprint) return;
  const needed = describeNek({ name: wrapped.nek, fingerprint: wrapped.nekFingerprint });
  throw new SealpostError(
    'nek-mismatch',
    `key ${id.selector} of ${id.domain} was wrapped with NEK ${needed}, but the configured NEK is ${describeNek(nek)}: put ${needed} back`,
  );
}
