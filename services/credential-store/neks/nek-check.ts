import type { Refused } from '#cluster/replicated/refused.ts';
import type { WrappedKey } from '#shared/dkim/key-wrap.ts';
import { describeNek, describeNeks, findNek, type Nek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { NEKS_KEY, type NekList } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';
import { wrappedKeys } from './rewrap.ts';

/** Whether a node has the named encryption keys (NEKs) that the store needs, and the errors when it does not. */

/** What the store knows about a NEK. */
export type NekEntry = NekList['neks'][number];

/**
 * At the start: this node must have the current NEK and every NEK that wraps a key. Fails with `nek-mismatch`, which names
 * what is needed and what is configured: a wrong NEK never leads to a new, empty store. It only warns on a node without
 * any NEK, which may list keys, and on one that is not `caughtUp`: the others may have re-wrapped its keys.
 */
export function checkNeks(
  records: Pick<Records, 'all' | 'neks'>,
  neks: readonly Nek[],
  log: Logger,
  caughtUp: boolean,
): void {
  const missing = missingNeks(records, neks);
  if (missing.length === 0) return;
  if (neks.length === 0) {
    const text = 'no named encryption key is configured (credentials.nek): the stored keys can be listed, but not used';
    log.warn({ needed: describeNeks(missing) }, text);
    return;
  }
  const error = mismatch(missing, neks);
  if (caughtUp) throw error;
  log.warn({ error: error.message }, 'named encryption keys are missing, unless the other nodes have replaced them');
}

/**
 * At the start of a node that has no list of NEKs: fails with `nek-mismatch` when the cluster has one, and this node
 * refused it because it was written with a NEK that is not in `neks`. Otherwise this node would begin a second store
 * beside that of the others.
 */
export function assertNotForeign(list: NekList | undefined, refused: readonly Refused[], neks: readonly Nek[]): void {
  const fingerprint = refused.find(({ key }) => key === NEKS_KEY)?.nek;
  if (list !== undefined || fingerprint === undefined) return;
  throw mismatch([{ name: 'of the cluster', fingerprint, current: true }], neks);
}

/** Fails with `nek-mismatch` unless the key is under the current NEK: for the compare-and-set that stores a new key. */
export function assertCurrent(records: Pick<Records, 'neks'>, wrapped: WrappedKey): void {
  const list = records.neks();
  if (list?.current === wrapped.nekFingerprint) return;
  const used = describeNek({ name: wrapped.nek, fingerprint: wrapped.nekFingerprint });
  const current = list === undefined ? 'none' : describeNek(entryOf(list, list.current));
  throw new SealpostError(
    'nek-mismatch',
    `the key is wrapped with NEK ${used}, but the current one is ${current}: wrap it with that and try again`,
  );
}

/** Fails with `nek-mismatch` unless `neks` open every key of the store. */
export function assertOpenable(records: Pick<Records, 'all' | 'neks'>, neks: readonly Nek[]): void {
  const missing = missingNeks(records, neks);
  if (missing.length > 0) throw mismatch(missing, neks);
}

type Missing = { name: string; fingerprint: string; current?: boolean; keys?: number };

/** NEKs that the store needs and that are not in `neks`. */
function missingNeks(records: Pick<Records, 'all' | 'neks'>, neks: readonly Nek[]): Missing[] {
  const missing = new Map<string, Required<Missing>>();
  const list = records.neks();
  if (list !== undefined) missing.set(list.current, { ...entryOf(list, list.current), current: true, keys: 0 });
  for (const { wrapped } of wrappedKeys(records)) {
    const fingerprint = wrapped.nekFingerprint;
    const before = missing.get(fingerprint) ?? { name: wrapped.nek, fingerprint, current: false, keys: 0 };
    missing.set(fingerprint, { ...before, keys: before.keys + 1 });
  }
  return [...missing.values()].filter((m) => findNek(neks, m.fingerprint) === undefined);
}

/** `nek-mismatch`: what the store needs and this node lacks. */
export function mismatch(missing: readonly Missing[], neks: readonly Nek[]): SealpostError {
  const needed = missing.map((m) => {
    const uses = [...(m.current ? ['the current one'] : []), ...(m.keys ? [`wraps ${countKeys(m.keys)}`] : [])];
    return `${describeNek(m)}${uses.length === 0 ? '' : `, ${uses.join(', ')}`}`;
  });
  return new SealpostError(
    'nek-mismatch',
    `the store needs NEK ${needed.join('; ')}; this node has ${describeNeks(neks)}: add what is missing to credentials.nek, a line each`,
  );
}

/** The NEK with a fingerprint, as the store knows it. */
export const entryOf = (list: NekList, fingerprint: string): NekEntry =>
  list.neks.find((n) => n.fingerprint === fingerprint) ?? { name: '?', fingerprint, since: 0 };

/** `1 key`, `2 keys`. */
export const countKeys = (keys: number): string => (keys === 1 ? '1 key' : `${keys} keys`);
