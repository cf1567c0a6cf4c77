import type { KeyObject } from 'node:crypto';

/**
 * The algorithms of DKIM keys, in one table that everything reads: the contract and the command line (names), the record
 * (k=), the signature (a=), the proof, the names of selectors.
 *
 * A new algorithm is a row of `KEY_ALGORITHMS`; a new type of key is also a row of `KEY_TYPES`. What a table cannot say
 * about a type is code in these files, where the compiler then reports the missing case:
 *
 *   shared/dkim/public-key.ts                          the form of its public key in p=
 *   services/credential-store/making/generate-key.ts   how a pair is generated
 *   services/credential-store/dns/judge.ts             when two values of p= are the same key
 *
 * services/console/cli/import/private-key.ts reads the private keys of other programs. Since the names are part of the
 * contract of the credential-store, a process of the version before does not know a new one: after a release the contract
 * needs its next version (cluster/contract-versions.ts).
 */

/** A type of key, as k= names it (RFC 6376 §3.6.1, RFC 8463 §4.1). */
export type KeyType = 'rsa' | 'ed25519';

export const KEY_TYPES: Readonly<Record<KeyType, KeyTypeTraits>> = {
  /** RSASSA-PKCS1-v1_5 with SHA-256 (RFC 6376 §3.3.1). */
  rsa: { signatureTag: 'rsa-sha256', digest: 'sha256', signsHash: false, order: 0, selectorLetter: 's' },
  /** PureEdDSA, which hashes by itself, over the SHA-256 hash of the data (RFC 8463 §3). */
  ed25519: { signatureTag: 'ed25519-sha256', digest: null, signsHash: true, order: 1, selectorLetter: 'e' },
};

type KeyTypeTraits = {
  /** The value of a=. */
  signatureTag: string;
  /** The digest for `sign` and `verify` of node:crypto. */
  digest: 'sha256' | null;
  /** It signs the SHA-256 hash of the data instead of the data. */
  signsHash: boolean;
  /** Position among the signatures of a message: some verifiers look only at the first one. */
  order: number;
  /** First letter of its dated selectors. */
  selectorLetter: string;
};

export type KeyAlgorithm = 'rsa-2048' | 'rsa-3072' | 'rsa-4096' | 'rsa-1024' | 'ed25519';

/** The algorithms of keys, in the order in which people see them. `bits`: length of the RSA modulus. */
export const KEY_ALGORITHMS: Readonly<
  Record<KeyAlgorithm, { type: 'rsa'; bits: number } | { type: Exclude<KeyType, 'rsa'> }>
> = {
  'rsa-2048': { type: 'rsa', bits: 2048 },
  'rsa-3072': { type: 'rsa', bits: 3072 },
  'rsa-4096': { type: 'rsa', bits: 4096 },
  'rsa-1024': { type: 'rsa', bits: 1024 },
  ed25519: { type: 'ed25519' },
};

export const isKeyType = (name: string): name is KeyType => Object.hasOwn(KEY_TYPES, name);

export const keyTypeOf = (algorithm: KeyAlgorithm): KeyType => KEY_ALGORITHMS[algorithm].type;

/** RFC 8301 §3.2: signers must not use fewer than 1024 bits and should use 2048. */
export function isWeak(algorithm: KeyAlgorithm): boolean {
  const spec = KEY_ALGORITHMS[algorithm];
  return spec.type === 'rsa' && spec.bits < 2048;
}

/** The type of a key in memory. Throws for a type that DKIM does not have; a key of such a type is never stored. */
export function keyTypeOfKey({ asymmetricKeyType: type }: KeyObject): KeyType {
  if (type !== undefined && isKeyType(type)) return type;
  throw new Error(`DKIM has no keys of type ${type}`);
}

/** The algorithm of any key; may be one that we do not have (`rsa-1536`, `ec`). */
export function algorithmNameOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string {
  return type === 'rsa' ? `rsa-${details?.modulusLength}` : String(type);
}
