import { datedSelector } from '#shared/dkim/dated-selector.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm } from '#shared/keys/key.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import { timeText } from '../records/record-change.ts';

/**
 * Selectors for the new keys of a domain, one for each algorithm: named by date, never one that is or was used. Where only
 * some selectors have CNAMEs in DNS (`fixed`), the first ones without a key; fails with `no-selector` when there are too
 * few.
 */
export function newSelectors(
  record: DomainRecord | undefined,
  algorithms: readonly KeyAlgorithm[],
  { now, fixed }: { now: number; fixed?: readonly string[] | undefined },
): string[] {
  if (fixed !== undefined) return freeSelectors(record, algorithms.length, fixed);
  const taken = new Set([...(record?.keys ?? []), ...(record?.used ?? [])].map((k) => k.selector));
  return algorithms.map((algorithm) => {
    const name = datedSelector(algorithm, now, taken);
    taken.add(name);
    return name;
  });
}

function freeSelectors(record: DomainRecord | undefined, count: number, fixed: readonly string[]): string[] {
  const keys = record?.keys ?? [];
  const free = fixed.filter((selector) => !keys.some((k) => k.selector === selector));
  if (free.length >= count) return free.slice(0, count);
  const occupied = keys.filter((k) => fixed.includes(k.selector)).map(occupation);
  throw new SealpostError(
    'no-selector',
    `${count} of the selectors ${fixed.join(', ')} (keys.cname) of ${record?.domain ?? 'the domain'} must be free: ${occupied.join('; ')}. Wait, delete a key, or add a selector with its CNAME`,
  );
}

function occupation({ selector, state, until }: KeyRecord): string {
  if (until === undefined) return `${selector} is ${state}`;
  const next = state === 'retiring' ? 'and will then be revoked and deleted' : 'and will then be deleted';
  return `${selector} is ${state} until ${timeText(until)}, ${next}`;
}
