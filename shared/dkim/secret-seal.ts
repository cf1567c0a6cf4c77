import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { z } from 'zod';
import { SealpostError } from '../errors.ts';
import { findNek, type Nek } from './nek.ts';
import type { SecretPlace } from './secret-wrap.ts';

/**
 * Secrets on their way from a command that has no NEK to a credential-store: anybody can seal, whoever has the NEK can open.
 * ECIES: X25519 (RFC 7748), HKDF-SHA-256 (RFC 5869), AES-256-GCM (NIST SP 800-38D). The key pair of a NEK is derived from
 * it, so that it is the same on every node and is stored nowhere. What the secret is for is additional authenticated data.
 */
export const SealedSecret = z.object({
  /** Fingerprint of the NEK that opens it. */
  nek: z.string().max(64),
  /** Base64: the X25519 key that was made for it, the 96-bit IV, the 128-bit tag, the ciphertext. */
  key: z.string().max(64),
  iv: z.string().max(32),
  tag: z.string().max(32),
  data: z.string().max(1024),
});
export type SealedSecret = z.infer<typeof SealedSecret>;

/** To whom secrets are sealed: the fingerprint of a NEK, and 32 bytes in base64. */
export const SealingKey = z.object({ nek: z.string().max(64), publicKey: z.string().max(64) });
export type SealingKey = z.infer<typeof SealingKey>;

const TAG_BYTES = 16;
const IV_BYTES = 12;
/** RFC 8410 §7, §4: what stands before the 32 bytes of a private and of a public X25519 key. */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');

export function sealingKeyOf(nek: Nek): SealingKey {
  return { nek: nek.fingerprint, publicKey: rawPublic(privateKeyOf(nek)).toString('base64') };
}

/** Fails with `invalid` where the key is none. */
export function sealSecret({ nek, publicKey }: SealingKey, { bound }: SecretPlace, secret: Uint8Array): SealedSecret {
  const own = generateKeyPairSync('x25519').privateKey;
  const raw = rawPublic(own);
  const iv = randomBytes(IV_BYTES);
  const to = Buffer.from(publicKey, 'base64');
  const cipher = createCipheriv('aes-256-gcm', agreed(own, to, [raw, to]), iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  const data = Buffer.concat([cipher.update(secret), cipher.final()]);
  const base64 = (bytes: Buffer): string => bytes.toString('base64');
  return { nek, key: base64(raw), iv: base64(iv), tag: base64(cipher.getAuthTag()), data: base64(data) };
}

/** Fails with `nek-mismatch` (sealed for a NEK that is not among `neks`) or `invalid` (it does not open). */
export function openSealed(neks: readonly Nek[], { bound, text }: SecretPlace, sealed: SealedSecret): Buffer {
  const nek = findNek(neks, sealed.nek);
  if (nek === undefined) {
    throw new SealpostError(
      'nek-mismatch',
      `${text} was sealed for NEK ${sealed.nek}, which this node has not: try again`,
    );
  }
  try {
    const own = privateKeyOf(nek);
    const from = Buffer.from(sealed.key, 'base64');
    const key = agreed(own, from, [from, rawPublic(own)]);
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(sealed.iv, 'base64'), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(bound);
    decipher.setAuthTag(Buffer.from(sealed.tag, 'base64'));
    return Buffer.concat([decipher.update(sealed.data, 'base64'), decipher.final()]);
  } catch (error) {
    throw new SealpostError('invalid', `${text} does not open: it was sealed for something else`, { cause: error });
  }
}

function agreed(own: KeyObject, other: Buffer, both: Buffer[]): Buffer {
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI, other]), format: 'der', type: 'spki' });
    const secret = diffieHellman({ privateKey: own, publicKey });
    return Buffer.from(hkdfSync('sha256', secret, Buffer.concat(both), 'sealpost sealed secret 1', 32));
  } catch (error) {
    throw new SealpostError('invalid', 'the key to which a secret is to be sealed is not an X25519 key', {
      cause: error,
    });
  }
}

const derived = new WeakMap<KeyObject, KeyObject>();

function privateKeyOf(nek: Nek): KeyObject {
  const known = derived.get(nek.key);
  if (known !== undefined) return known;
  const raw = Buffer.from(hkdfSync('sha256', nek.key, '', 'sealpost seal 1', 32));
  const der = Buffer.concat([PKCS8, raw]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  raw.fill(0);
  derived.set(nek.key, key);
  return key;
}

const rawPublic = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(SPKI.length);
