import { createHash } from 'node:crypto';
import { SealpostError } from '#shared/errors.ts';

/**
 * The form of every value in the queue: version byte, 16 bytes of SHA-256 over key and payload, payload. LevelDB does
 * not verify its own checksums on reads; this digest finds a damaged value, and one that lies under a wrong key.
 */

const VERSION = 1;
const DIGEST_BYTES = 16;
const HEAD_BYTES = 1 + DIGEST_BYTES;

/** The sealed form of a payload: the only copy of it that the queue makes. */
export function seal(key: string, payload: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  sealed[0] = VERSION;
  digest(key, payload).copy(sealed, 1, 0, DIGEST_BYTES);
  sealed.set(payload, HEAD_BYTES);
  return sealed;
}

export function sealJson(key: string, value: unknown): Buffer {
  return seal(key, Buffer.from(JSON.stringify(value)));
}

/** The payload inside a sealed value, not copied. Throws `corrupt` when it is not what was sealed under this key. */
export function unseal(key: string, sealed: Buffer): Buffer {
  if (sealed.length < HEAD_BYTES) throw new SealpostError('corrupt', `${key}: ${sealed.length} bytes are not a record`);
  if (sealed[0] !== VERSION) {
    throw new SealpostError('corrupt', `${key}: record of version ${sealed[0]}, this program reads ${VERSION}`);
  }
  const payload = sealed.subarray(HEAD_BYTES);
  if (digest(key, payload).compare(sealed, 1, HEAD_BYTES, 0, DIGEST_BYTES) !== 0) {
    throw new SealpostError('corrupt', `${key}: the digest does not fit the record`);
  }
  return payload;
}

/** The payload of a freshly sealed value. */
export function payloadOf(sealed: Buffer): Buffer {
  return sealed.subarray(HEAD_BYTES);
}

function digest(key: string, payload: Uint8Array): Buffer {
  return createHash('sha256').update(key).update('\0').update(payload).digest();
}
