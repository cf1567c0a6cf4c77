import type { Settings } from '#cluster/config/settings.ts';
import { neighbourhood } from '#shared/address/ip-address.ts';
import { userKey } from '#shared/directory/values.ts';
import type { Logger } from '#shared/log.ts';
import { printable } from '#shared/text.ts';
import type { Lock, LockSelection } from '../contract.ts';
import type { SharedCounts } from '../rates/shared-counts.ts';
import { failureKey, limitName, overlap, parseFailureKey, type Scope } from './failure-counts.ts';

/**
 * The locks of failed log-ins for operators. A lock is not a record: it is a count of failures that has reached its limit
 * (failures.ts), and opens as that goes down. So every instance of policy knows the locks of the whole cluster, as far as it
 * hears the others; one that is cut off may have others, and each is asked.
 *
 * To lift a lock is to reset its count. The counts of a cluster are those of its instances, so the count of one that died or
 * is cut off would bring the lock back. What makes a reset final is in rates/shared-counts.ts. From here:
 *
 * - An operator tells every instance that lives, because an event may get lost; each resets what it knows of the selection.
 *   That several do is harmless: the newest reset wins, and each has set the count to nothing.
 * - Counts below their limit are reset too, so that the next failure does not lock again; and so is the count of exactly
 *   what the operator names, where this instance knows of none: an instance that is cut off may have it, and hears of the
 *   reset when it is back.
 */

/** In one answer. */
const MOST_LOCKS = 500;

export type LocksDeps = { settings: Settings; counts: SharedCounts; log: Logger };

export class Locks {
  readonly #settings: Settings;
  readonly #counts: SharedCounts;
  readonly #log: Logger;

  constructor({ settings, counts, log }: LocksDeps) {
    this.#settings = settings;
    this.#counts = counts;
    this.#log = log;
  }

  list(selection: LockSelection): { locks: Lock[]; more: number } {
    return firstOf(this.#selected(selection).flatMap((scope) => this.#lock(scope) ?? []));
  }

  /** Returns what was locked. */
  lift(selection: LockSelection): { locks: Lock[]; more: number } {
    const selected = this.#selected(selection);
    const locks = selected.flatMap((scope) => this.#lock(scope) ?? []);
    const keys = new Set(selected.map(failureKey));
    const named = scopeNamed(selection);
    if (named !== undefined) keys.add(failureKey(named));
    for (const key of keys) this.#counts.reset(key);
    const { user, network } = selection;
    const fields = { user: user && printable(user), network: network && printable(network), locks: locks.length };
    this.#log.info(fields, 'Locks of log-ins lifted by an operator');
    return firstOf(locks);
  }

  #selected({ user, network }: LockSelection): Scope[] {
    const name = user === undefined ? undefined : userKey(user);
    return [...this.#counts.keys('failures')].flatMap((key) => {
      const scope = parseFailureKey(key);
      if (scope === undefined || (name !== undefined && scope.user !== name)) return [];
      return network === undefined || (scope.network !== undefined && overlap(scope.network, network)) ? [scope] : [];
    });
  }

  #lock(scope: Scope): Lock | undefined {
    const limit = this.#settings.current.authentication.limits[limitName(scope)];
    const key = failureKey(scope);
    const opensMs = Math.ceil(this.#counts.wait(key, limit));
    if (opensMs === 0) return undefined;
    return { ...scope, failures: Math.round(this.#counts.counted(key, limit.per)), limit, opensMs };
  }
}

/** What exactly a selection names; undefined where that is nothing, or more than one network. */
function scopeNamed({ user, network }: LockSelection): Scope | undefined {
  const name = user === undefined ? undefined : userKey(user);
  if (network === undefined) return name === undefined ? undefined : { user: name };
  const nearest = neighbourhood(network.split('/', 1)[0] ?? '');
  if (network.includes('/') && network !== nearest) return undefined;
  return name === undefined ? { network: nearest } : { user: name, network: nearest };
}

function firstOf(locks: Lock[]): { locks: Lock[]; more: number } {
  const sorted = locks.toSorted((a, b) => b.opensMs - a.opensMs);
  return { locks: sorted.slice(0, MOST_LOCKS), more: Math.max(0, sorted.length - MOST_LOCKS) };
}
