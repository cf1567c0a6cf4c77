import type { DomainRecord, KeyRecord, Rotation } from '#services/credential-store/records/domain-record.ts';
import type { KeyState } from '#shared/keys/key.ts';

/** Records of a domain for tests of pure functions. All times are around `NOW`. */

export const NOW = Date.UTC(2026, 10, 23, 12);
export const AT = { now: NOW, node: 'edge-1' };
export const STATES = [
  ...(['created', 'replicated', 'published', 'proven', 'active', 'retiring', 'retired', 'revoked'] as const),
];

/** A key in a state, as its life would have made it. */
export function keyIn(state: KeyState, selector = 's1', more: Partial<KeyRecord> = {}): KeyRecord {
  const signed = more.signed ?? ['active', 'retiring', 'retired', 'revoked'].includes(state);
  const wrapped = { version: 1 as const, nek: 'n', nekFingerprint: 'f', iv: '', tag: '', data: 'secret' };
  return {
    selector,
    algorithm: 'rsa-2048',
    state,
    created: NOW - 10_000,
    since: NOW - 5000,
    fingerprint: `of ${selector}`,
    publicKey: `p${selector}`,
    activate: true,
    signed,
    publication: { by: 'update', zone: 'example.com' },
    ttl: 3600,
    ...(state === 'retired' || state === 'revoked' ? {} : { wrapped }),
    ...more,
  };
}

export function recordWith(keys: KeyRecord[], more: Partial<DomainRecord> = {}): DomainRecord {
  return { domain: 'example.com', keys, used: [], ...more };
}

export function rotationOf(from: string[], to: string[], more: Partial<Rotation> = {}): Rotation {
  return { id: 'r1', started: NOW - 5000, by: 'edge-1', to, from, sideBySide: 0, events: [], ...more };
}

/** `s1:active s2:proven`. */
export function statesOf({ keys }: DomainRecord): string {
  return keys.map((k) => `${k.selector}:${k.state}`).join(' ');
}

/** What a function from record to record comes to: the states of the keys, or the code of its error. */
export function outcome(change: () => DomainRecord): string {
  try {
    return statesOf(change());
  } catch (error) {
    return (error as { code: string }).code;
  }
}
