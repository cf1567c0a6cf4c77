import { type KeyInfo, SigningKey } from '#shared/keys/key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { recordName } from '../dns/publication.ts';
import type { DnsViews } from '../dns/views.ts';
import { isExposed } from '../life/life-cycle.ts';
import type { Presence } from '../presence.ts';
import type { DomainRecord, KeyRecord } from '../records/domain-record.ts';
import type { Records } from '../records/records.ts';

/** Keys as others see them: people, and signers. */

/** States of the keys that a signer holds: from `created` on, to prove a key before it signs, and to switch immediately. */
const HELD = new Set<KeyRecord['state']>(['created', 'replicated', 'published', 'proven', 'active', 'retiring']);

/** The keys that signers hold, each with its place in the order of all. */
export function heldKeys(records: readonly DomainRecord[]): { place: string; key: SigningKey }[] {
  return records
    .flatMap(({ domain, keys }) =>
      keys.flatMap((key) =>
        key.wrapped === undefined || !HELD.has(key.state)
          ? []
          : [{ place: placeOf(domain, key), key: { ...keyInfo(domain, key), wrapped: key.wrapped } }],
      ),
    )
    .sort(byPlace);
}

/** Every key of some domains, in the order of domain and selector. */
export function listedKeys(records: readonly DomainRecord[]): { place: string; domain: string; key: KeyRecord }[] {
  return records
    .flatMap(({ domain, keys }) => keys.map((key) => ({ place: placeOf(domain, key), domain, key })))
    .sort(byPlace);
}

const placeOf = (domain: string, key: KeyRecord): string => `${domain}!${key.selector}`;
const byPlace = (a: { place: string }, b: { place: string }): number => (a.place < b.place ? -1 : 1);

export function keyInfo(domain: string, key: KeyRecord): KeyInfo {
  const { selector, algorithm, state, created, fingerprint, publicKey } = key;
  return { domain, selector, algorithm, state, created, fingerprint, publicKey };
}

/** The key with its wrapped private part; undefined when that is erased. */
export function signingKey(domain: string, key: KeyRecord): SigningKey | undefined {
  const parsed = SigningKey.safeParse({ ...keyInfo(domain, key), wrapped: key.wrapped });
  return parsed.success ? parsed.data : undefined;
}

export function keyStatus(
  deps: { records: Records; presence: Presence; views: DnsViews },
  domain: string,
  key: KeyRecord,
): KeyStatus {
  const { activate, signed, since, publication, ttl, until, wrapped, problem } = key;
  const dns = deps.views.last(domain, key);
  return {
    ...keyInfo(domain, key),
    activate,
    signed,
    since,
    publish: publication.by,
    record: recordName(domain, key),
    ttl,
    nodes: nodesHolding(deps),
    ...(until === undefined ? {} : { until }),
    ...(wrapped === undefined ? {} : { nek: wrapped.nek }),
    ...(problem === undefined ? {} : { problem }),
    ...(isExposed(key, dns?.verdict) ? { exposed: true } : {}),
    ...(dns === undefined ? {} : { dns }),
  };
}

/** A node holds what this one holds when each live process on it has seen as many changes. */
function nodesHolding({ records, presence }: { records: Records; presence: Presence }): KeyStatus['nodes'] {
  const byNode = Map.groupBy(presence.live(), (h) => h.node);
  const holding = [...byNode].filter(([, holders]) => holders.every((h) => h.revision >= records.revision));
  return { holding: holding.map(([node]) => node), live: byNode.size };
}
