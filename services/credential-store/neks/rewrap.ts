import { unwrapWith, type WrappedKey, wrapKey } from '#shared/dkim/key-wrap.ts';
import { findNek, type Nek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';

/**
 * From one named encryption key (NEK) to another. Three steps, each a compare-and-set or several:
 *
 *   1. the new NEK is recorded as current: new keys are wrapped with it from then on;
 *   2. domain by domain, the keys under another NEK are opened and wrapped with the current one;
 *   3. when nothing is under the old NEK any more, it may be forgotten.
 *
 * What is left of step 2 is recorded nowhere: it is every key that is under another NEK than the current one. So the
 * work can stop between any two writes and be taken up by any node that has both NEKs, several at once too, while keys
 * are made, switched and erased. Every key opens with one of the two NEKs at any time, so nothing may forget the old
 * one before step 3.
 */

/** A key that has a private part, and the NEK that it is under. */
export type Wrapped = { domain: string; key: KeyRecord; wrapped: WrappedKey };

/** Every key that has a private part; those erased have no NEK. */
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
export type Left = { domain: string; selector: string; reason: string };

/**
 * Do what is left of step 2, with the NEKs that this node has; whoever was faster is not disturbed. Answers the keys
 * that could not be opened: nothing of them is changed. Fails with `no-quorum` or `store-failed`, then part is done.
 */
export async function rewrapPending(
  records: Pick<Records, 'all' | 'neks' | 'update'>,
  neks: readonly Nek[],
): Promise<Left[]> {
  const left: Left[] = [];
  for (const domain of new Set(pendingKeys(records).map((k) => k.domain))) {
    let unopened: Left[] = [];
    await records.update(domain, (record) => {
      // Asked again when somebody was faster, and then with another current NEK perhaps.
      unopened = [];
      const current = findNek(neks, records.neks()?.current ?? '');
      return record === undefined || current === undefined ? record : rewrapped(record, current, neks, unopened);
    });
    left.push(...unopened);
  }
  return left;
}

/** The record with all its keys under `current`; the record itself when there is nothing to change. */
function rewrapped(record: DomainRecord, current: Nek, neks: readonly Nek[], unopened: Left[]): DomainRecord {
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
      unopened.push({ domain, selector, reason: errorText(error) });
      return key;
    }
  });
  return changed ? { ...record, keys } : record;
}
