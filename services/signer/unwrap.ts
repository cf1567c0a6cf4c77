import type { KeyObject } from 'node:crypto';
import { unwrapWith } from '#shared/dkim/key-wrap.ts';
import type { Nek } from '#shared/dkim/nek.ts';
import { publishedBytes } from '#shared/dkim/public-key.ts';
import { SealpostError } from '#shared/errors.ts';
import type { SigningKey } from '#shared/keys/key.ts';

/** From a wrapped key, as the credential-store answers it, to one that can sign. */

export const nameOf = ({ domain, selector }: { domain: string; selector: string }): string => `${domain}!${selector}`;

/** Identifies a private key, whatever NEK wraps it. */
export const identityOf = (key: SigningKey): string => `${nameOf(key)}!${key.algorithm}!${key.publicKey}`;

/** The private key. Fails with `no-nek`, `nek-mismatch` or `key-damaged`. */
export function unwrap(key: SigningKey, neks: Nek[] | string): KeyObject {
  if (typeof neks === 'string') throw new SealpostError('no-nek', neks);
  const privateKey = unwrapWith(neks, key, key.wrapped);
  if (publishedBytes(privateKey).toString('base64') === key.publicKey) return privateKey;
  const { selector, domain } = key;
  throw new SealpostError(
    'key-damaged',
    `the private key ${selector} of ${domain} does not belong to its public key: its signatures would fail`,
  );
}
