import type { DomainConfig } from '#cluster/config/schema/schema.ts';
import { nearest } from '#shared/address/domains.ts';
import type { HeldKey } from './keyring.ts';

/**
 * Which keys sign for a domain.
 *
 * - The domain's entry in the configuration decides; without one, that of the nearest parent (DOMINO D5, D6).
 * - `sign-as` names the domain whose keys sign (D8); d= is that domain.
 * - Otherwise the keys of the domain itself sign, or those of its nearest parent that has any.
 * - `signing.selectors` leaves only these keys (D7: all of them sign).
 * - A domain without an entry is signed, best-effort, as soon as keys exist for it or a parent.
 */
export type Plan = {
  /** The author's domain. */
  domain: string;
  mode: 'best-effort' | 'enforce';
  /** Keys that should sign, usable or not; empty when there are none. */
  keys: HeldKey[];
  /** The domain whose keys they are or would be, and their selectors, for people. */
  wanted: string;
};

export type KeysOf = (domain: string) => readonly HeldKey[];

/** Undefined: mail of this domain is not to be signed. */
export function planFor(domain: string, entries: DomainConfig[], keysOf: KeysOf): Plan | undefined {
  const entry = nearestEntry(domain, entries);
  if (entry?.signing.mode === 'off') return undefined;
  const selectors = entry?.signing.selectors?.map((s) => s.toLowerCase());
  const chosen = (name: string): HeldKey[] | undefined => {
    const keys = keysOf(name).filter((k) => selectors === undefined || selectors.includes(k.selector));
    return keys.length === 0 ? undefined : keys;
  };
  const signAs = entry?.['sign-as'];
  const keys = signAs === undefined ? nearest(domain, chosen) : chosen(signAs);
  if (entry === undefined && keys === undefined) return undefined;
  const wanted = signAs ?? entry?.name ?? domain;
  return {
    domain,
    mode: entry?.signing.mode ?? 'best-effort',
    keys: keys ?? [],
    wanted: selectors === undefined ? wanted : `${wanted} (${selectors.join(', ')})`,
  };
}

/** The entry of the domain or of its nearest parent. */
export function nearestEntry(domain: string, entries: DomainConfig[]): DomainConfig | undefined {
  const byName = indexOf(entries);
  return nearest(domain, (name) => byName.get(name));
}

/** Entries by name; made once for each configuration. */
const indexes = new WeakMap<DomainConfig[], Map<string, DomainConfig>>();

function indexOf(entries: DomainConfig[]): Map<string, DomainConfig> {
  let index = indexes.get(entries);
  if (index === undefined) {
    index = new Map(entries.map((e) => [e.name, e]));
    indexes.set(entries, index);
  }
  return index;
}
