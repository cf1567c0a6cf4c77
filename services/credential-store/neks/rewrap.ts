import { unwrapWith, type WrappedKey, wrapKey } from '#shared/dkim/key-wrap.ts';
import { findNek, type Nek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';

/**
 * From one named encryption key (NEK) to another, in three steps of one compare-and-set or several:
 *
 *   1. the new NEK is recorded as current: new keys are wrapped with it from then on;
 *   2. domain by domain, the keys under another NEK are unwrapped and wrapped with the current one;
 *   3. when no key is under the old NEK any more, it may be deleted.
 *
 * What is left of step 2 is not recorded: it is every key under another NEK than the current one. So the work can stop
 * between any two writes and be continued by any node that has both NEKs, also by several concurrently, while keys are
 * made, switched and erased. Every key opens with one of the two NEKs at any time, so the old one must be kept until
 * step 3.
 */

/** A key with its private part, and the NEK that wraps it. */
export type Wrapped = { domain: string; key: KeyRecord; wrapped: WrappedKey };

/** Every key that has a private part; erased keys have no NEK. */
export function wrappedKeys(records: Pick<Records, 'all'>): Wrapped[] {
  return records
    .all()
    .flatMap(({ domain, keys }) =>
      keys.flatMap((key) => (key.wrapped === undefined ? [] : [{ domain, key, wrapped: key.wrapped }])),
    );
}

/** Keys that are under another NEK than the current one. */
export function pendingKeys(records: Pick<Records, 'all' | 'neks'>): Wrapped[] {
  const current = records.neks()?.current;
  return current === undefined ? [] : wrappedKeys(records).filter((k) => k.wrapped.nekFingerprint !== current);
}

/** A key that stays under its old NEK, and why. */
export type Unopened = { domain: string; selector: string; error: string };

/**
 * Do what is left of step 2, with the NEKs of this node. Returns the keys that could not be unwrapped and stay as they
 * are. Fails with `no-quorum` or `store-failed` when it is partly done.
 */
export async function rewrapPending(
  records: Pick<Records, 'all' | 'neks' | 'update'>,
  neks: readonly Nek[],
): Promise<Unopened[]> {
  const all: Unopened[] = [];
  for (const domain of new Set(pendingKeys(records).map((k) => k.domain))) {
    let unopened: Unopened[] = [];
    await records.update(domain, (record) => {
      // Called again when another writer was faster, possibly with another current NEK.
      unopened = [];
      const current = findNek(neks, records.neks()?.current ?? '');
      return record === undefined || current === undefined ? record : rewrapped(record, current, neks, unopened);
    });
    all.push(...unopened);
  }
  return all;
}

/** The record with all its keys under `current`; the record itself when there is nothing to change. */
function rewrapped(record: DomainRecord, current: Nek, neks: readonly Nek[], unopened: Unopened[]): DomainRecord {
  const { domain } = record;
  let changed = false;
  const keys = record.keys.map((key) => {
    const { selector, algorithm, wrapped } = key;
    if (wrapped === undefined || wrapped.nekFingerprint === current.fingerprint) return key;
    try {
      const id = { domain, selector, algorithm };
      const again = { ...key, wrapped: wrapKey(current, id, unwrapWith(neks, id, wrapped)) };
      changed = true;
      return again;
    } catch (error) {
      unopened.push({ domain, selector, error: errorText(error) });
      return key;
    }
  });
  return changed ? { ...record, keys } : record;
}
