import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { findNek, type Nek } from './nek.ts';

/**
 * Message authentication codes by named encryption keys (NEKs): who has none cannot write what credential-stores and
 * signers believe. HMAC-SHA-256 (RFC 2104) by a key that HKDF-SHA-256 (RFC 5869) derives from the NEK for one purpose, so
 * that no code for one purpose is one for another, and the NEK itself only wraps keys.
 *
 * There is one code for each NEK of the writer: while one NEK replaces another, a reader needs either of them.
 */
export const NekMac = z.object({
  /** Fingerprint of the NEK. */
  nek: z.string().max(64),
  /** Base64 of 32 bytes. */
  mac: z.string().max(64),
});
export type NekMac = z.infer<typeof NekMac>;

/**
 * `authentic`: a NEK at hand made one of the codes. `forged`: none of them is right, although a NEK is at hand that is
 * said to have made one. `unknown`: they were made, if at all, with NEKs that are not at hand.
 */
export type Verdict = 'authentic' | 'forged' | 'unknown';

export function macsOf(neks: readonly Nek[], purpose: string, text: string): NekMac[] {
  return neks.map((nek) => ({ nek: nek.fingerprint, mac: macOf(nek, purpose, text).toString('base64') }));
}

export function judgeMacs(neks: readonly Nek[], purpose: string, text: string, macs: readonly NekMac[]): Verdict {
  let verdict: Verdict = 'unknown';
  for (const { nek: fingerprint, mac } of macs) {
    const nek = findNek(neks, fingerprint);
    if (nek === undefined) continue;
    const [given, right] = [Buffer.from(mac, 'base64'), macOf(nek, purpose, text)];
    if (given.length === right.length && timingSafeEqual(given, right)) return 'authentic';
    verdict = 'forged';
  }
  return verdict;
}

function macOf({ key }: Nek, purpose: string, text: string): Buffer {
  return createHmac('sha256', derivedKey(key, purpose)).update(text).digest();
}

const derived = new WeakMap<KeyObject, Map<string, KeyObject>>();

function derivedKey(nek: KeyObject, purpose: string): KeyObject {
  const keys = derived.get(nek) ?? new Map<string, KeyObject>();
  derived.set(nek, keys);
  let key = keys.get(purpose);
  if (key === undefined) {
    key = createSecretKey(Buffer.from(hkdfSync('sha256', nek, '', `sealpost mac 1 ${purpose}`, 32)));
    keys.set(purpose, key);
  }
  return key;
}
