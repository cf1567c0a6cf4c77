import { keyTypeOf } from '#shared/dkim/algorithms.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm, KeyState } from '#shared/keys/key.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import {
  type At,
  enter,
  keyOf,
  timeText,
  withEvent,
  withKeys,
  withoutProblem,
  wrongState,
} from '../records/record-change.ts';

/**
 * The life of a key, and what an administrator may do to a single key. Everything here is a function from a domain's
 * record to its next version, applied in one compare-and-set. `transitions.ts` has the transitions that the driver makes,
 * `next-transition.ts` says which are due, `rotation.ts` has the orders for rotations.
 *
 *   created     generated and stored
 *   replicated  every live signer has proved that it can use the key
 *   published   its TXT record is written, or has begun to appear where the administrator publishes it
 *   proven      every authoritative server returns the record, as seen from every live node
 *   active      signers sign with the key
 *   retiring    no longer signs; stays in DNS for the mail that it signed. Without `until`, some live signer may not have
 *               seen that yet; after all have, `until` says how long the record stays
 *   retired     the private key is erased; the record must be revoked
 *   revoked     the record says so (empty p=), up to `until`
 *   deleted     the record and the key are gone; the selector is in `used`
 *
 *   created → replicated → published → proven → active → retiring → retired → revoked → deleted
 *      └───────────┴───────────┴─────────┴──┐     │ ↑_______│          ↑
 *                                           └─────┴────────────────────┘
 *
 * Each state is a confirmed fact and is entered from the state before it, with these exceptions: `revoke` (compromised)
 * leads to `retired` from every earlier state; so do `delete` and rollback for a key that never signed; and a retiring
 * key becomes active again after `activate` or by rollback, since its record is still in DNS.
 * A key that never signed (`signed` false) has nothing to revoke: retired, revoked, deleted follow without waiting.
 *
 * What always holds:
 *   - a key becomes active from `proven` or `retiring` only
 *   - a domain with an active key keeps one, unless `force` is given
 *   - a rotation that has not ended has in `to` only keys from `created` to `active`, and an active key for each that it
 *     retires: a new key that is removed leaves the rotation together with the key that it would have replaced
 *   - there is no private key (`wrapped`) from `retired` on
 *   - a selector names one key for ever; only behind a CNAME may it name another after its key is deleted
 */

/** Keys of one domain. Its record is one message: with 40 RSA keys of 4096 bits some 200 KB, and NATS carries 1 MB. */
export const MAX_KEYS = 40;

/** The states from which a key can be revoked: there is a private key. */
const REVOCABLE: ReadonlySet<KeyState> = new Set([
  'created',
  'replicated',
  'published',
  'proven',
  'active',
  'retiring',
]);

/**
 * Whether a new key becomes active without an order to do so: when the domain signs with no key of its type (RSA,
 * Ed25519).
 */
export function activatesByItself(record: DomainRecord | undefined, algorithm: KeyAlgorithm): boolean {
  return !(record?.keys ?? []).some((k) => k.state === 'active' && keyTypeOf(k.algorithm) === keyTypeOf(algorithm));
}

/**
 * Fails with `exists` when a new key cannot have the selector. `reusable`: a selector whose key is deleted may be used
 * again.
 */
export function assertFreeSelector(record: DomainRecord | undefined, selector: string, reusable: boolean): void {
  const key = record?.keys.find((k) => k.selector === selector);
  if (key !== undefined) {
    const text = `${record?.domain} has a key with selector ${selector} (${key.state})`;
    throw new SealpostError('exists', `${text}: choose another selector`);
  }
  const used = record?.used.find((u) => u.selector === selector);
  if (used !== undefined && !reusable) {
    const text = `selector ${selector} of ${record?.domain} had a key that was deleted on ${timeText(used.deleted)}`;
    throw new SealpostError('exists', `${text}; verifiers of old mail may still look it up: choose another selector`);
  }
}

/** Add a new key. Fails with `exists`: its selector is or was used, or the domain has too many keys. */
export function addKey(record: DomainRecord | undefined, domain: string, key: KeyRecord): DomainRecord {
  const before: DomainRecord = record ?? { domain, keys: [], used: [] };
  assertFreeSelector(before, key.selector, key.publication.by === 'cname');
  if (before.keys.length >= MAX_KEYS) {
    const text = `${domain} has ${before.keys.length} keys, and ${MAX_KEYS} is the maximum`;
    throw new SealpostError('exists', `${text}: delete some that are no longer needed`);
  }
  return { ...before, keys: [...before.keys, key] };
}

/**
 * Let a key sign as soon as its record is proven, or a retiring one sign again. The driver checks the record once more
 * and makes the key active. Fails with `not-found` or `wrong-state`.
 */
export function activateKey(record: DomainRecord, selector: string): DomainRecord {
  const key = keyOf(record, selector);
  if (!REVOCABLE.has(key.state)) throw wrongState(record, key, 'its private key is erased, so it can never sign again');
  if (key.activate || key.state === 'active') return record;
  return withKeys(record, [selector], (k) => ({ ...k, activate: true }));
}

/** Stop signing with an active key. Fails with `not-found`, `wrong-state`, or `last-key` without `force`. */
export function retireKey(record: DomainRecord, selector: string, options: At & { force: boolean }): DomainRecord {
  const key = keyOf(record, selector);
  if (key.state !== 'active') {
    throw wrongState(record, key, key.signed ? 'it does not sign any more' : 'it never signed: delete it instead');
  }
  assertNotLast(record, key, options.force);
  const retiring = withKeys(record, [selector], (k) => enter(k, 'retiring', options.now));
  return leaveRotation(retiring, selector, options, 'is retired');
}

/**
 * Declare a key compromised: signers stop using it, and its record is revoked. Fails with `not-found`, `wrong-state`, or
 * `last-key` without `force`.
 */
export function revokeKey(record: DomainRecord, selector: string, options: At & { force: boolean }): DomainRecord {
  const key = keyOf(record, selector);
  if (!REVOCABLE.has(key.state)) throw wrongState(record, key, 'its private key is erased, so no signer can use it');
  assertNotLast(record, key, options.force);
  const retired = withKeys(record, [selector], (k) => ({ ...enter(k, 'retired', options.now), compromised: true }));
  return leaveRotation(retired, selector, options, 'is compromised');
}

/**
 * Whether verifiers may still accept what somebody else signs with a compromised key: until every authoritative server
 * has returned its revocation, or nothing where it never signed, and whenever one returns another record again. `seen`
 * is the last verdict on its record.
 */
export function isExposed(key: KeyRecord, seen: DnsView['verdict'] | undefined): boolean {
  if (key.compromised !== true || key.publication.by === 'none') return false;
  if (key.state === 'retired') return true;
  return key.state === 'revoked' && (!key.signed || seen === 'different' || seen === 'duplicate');
}

/**
 * Remove a key that never signed, or a revoked one before its time. It goes when its record is gone. Fails with
 * `not-found` or `wrong-state`.
 */
export function deleteKey(record: DomainRecord, selector: string, at: At): DomainRecord {
  const key = keyOf(record, selector);
  if (key.state === 'revoked')
    return withKeys(record, [selector], (k) => ({ ...k, until: Math.min(at.now, k.until ?? at.now) }));
  if (key.signed)
    throw wrongState(record, key, HOW_TO_DELETE[key.state] ?? 'it signed mail, so it must be revoked first');
  if (key.state === 'retired') return record;
  const retired = withKeys(record, [selector], (k) => enter(k, 'retired', at.now));
  return leaveRotation(retired, selector, at, 'is deleted');
}

const HOW_TO_DELETE: Partial<Record<KeyState, string>> = {
  active: 'it signs mail: retire it first',
  retiring: 'mail that it signed may still be in transit: wait, or revoke it if it is compromised',
  retired: 'it can be deleted when every name server returns its revocation',
};

function assertNotLast(record: DomainRecord, key: KeyRecord, force: boolean): void {
  if (force || key.state !== 'active' || record.keys.some((k) => k !== key && k.state === 'active')) return;
  throw new SealpostError(
    'last-key',
    `key ${key.selector} is the last active key of ${record.domain}: without it mail is not signed, or waits. Rotate it (keys rotate ${record.domain}), or use --force`,
  );
}

/** A new key that is removed replaces nothing: the rotation continues without it and its old key. */
function leaveRotation(record: DomainRecord, selector: string, at: At, why: string): DomainRecord {
  const { rotation } = record;
  const pair = rotation?.to.indexOf(selector) ?? -1;
  if (rotation === undefined || rotation.ended !== undefined || pair < 0) return record;
  const old = rotation.from[pair] ?? '';
  const told = withEvent(withKeys(record, [old], withoutProblem), at, `${selector} ${why}: ${old} is not replaced`);
  const others = (list: string[]): string[] => list.filter((_, i) => i !== pair);
  const left =
    rotation.to.length > 1
      ? { to: others(rotation.to), from: others(rotation.from) }
      : { ended: { at: at.now, how: 'rolled-back' as const } };
  return { ...told, rotation: { ...(told.rotation ?? rotation), ...left } };
}
