import { SealpostError } from '#shared/errors.ts';
import type { KeyAlgorithm } from './contract.ts';
import type { DomainRecord, KeyRecord } from './domain-record.ts';
import { timeText } from './record-change.ts';

/**
 * Names for the new keys of a domain, one for each algorithm. By date in UTC (`s20261123`, for Ed25519 `e20261123`, the
 * next ones of the day `s20261123b` …), never one that is or was used. Where the CNAMEs of some selectors stand in DNS
 * (`fixed`) the first that have no key; fails with `no-selector` when there are too few.
 */
export function newSelectors(
  record: DomainRecord | undefined,
  algorithms: readonly KeyAlgorithm[],
  { now, fixed }: { now: number; fixed?: readonly string[] | undefined },
): string[] {
  if (fixed !== undefined) return freeSelectors(record, algorithms.length, fixed);
  const taken = new Set([...(record?.keys ?? []), ...(record?.used ?? [])].map((k) => k.selector));
  const date = new Date(now).toISOString().slice(0, 10).replaceAll('-', '');
  return algorithms.map((algorithm) => {
    const name = `${algorithm === 'ed25519' ? 'e' : 's'}${date}`;
    let count = 1;
    while (taken.has(name + suffix(count))) count++;
    taken.add(name + suffix(count));
    return name + suffix(count);
  });
}

/** Nothing for the first, then b … z, aa, ab … */
function suffix(count: number): string {
  let text = '';
  for (let rest = count === 1 ? 0 : count; rest > 0; rest = Math.floor((rest - 1) / 26)) {
    text = String.fromCharCode(97 + ((rest - 1) % 26)) + text;
  }
  return text;
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
  const next = state === 'retiring' ? 'then to be revoked and deleted' : 'then to be deleted';
  return `${selector} is ${state} until ${timeText(until)}, ${next}`;
}
