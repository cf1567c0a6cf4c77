import type { DomainConfig } from '#cluster/config/schema/schema.ts';
import type { HeldKey } from './keyring.ts';

/**
 * Which keys sign for a domain.
 *
 * - The configuration's entry for the domain rules; where it has none, that of the nearest parent (DOMINO D5, D6).
 * - `sign-as` names the domain whose keys sign (D8); d= is that domain.
 * - Else the keys of the domain itself, or of its nearest parent that has any.
 * - `signing.selectors` leaves only these keys (D7: all of them sign).
 * - A domain without an entry is signed, best-effort, as soon as keys exist for it or a parent.
 */
export type Plan = {
  /** The author's domain. */
  domain: string;
  mode: 'best-effort' | 'enforce';
  /** Keys that should sign, usable or not; empty when there are none. */
  keys: HeldKey[];
  /** Whose keys they are or would be, and which ones, for people. */
  wanted: string;
};

export type KeysOf = (domain: string) => readonly HeldKey[];

/** Undefined: nobody asked for mail of this domain to be signed. */
export function planFor(domain: string, entries: DomainConfig[], keysOf: KeysOf): Plan | undefined {
  const entry = nearestEntry(domain, entries);
  if (entry?.signing.mode === 'off') return undefined;
  const selectors = entry?.signing.selectors?.map((s) => s.toLowerCase());
  const chosen = (name: string): HeldKey[] =>
    keysOf(name).filter((k) => selectors === undefined || selectors.includes(k.selector));
  const signAs = entry?.['sign-as'];
  const keys = signAs === undefined ? firstOf(withParents(domain), chosen) : chosen(signAs);
  if (entry === undefined && keys.length === 0) return undefined;
  const wanted = signAs ?? entry?.name ?? domain;
  return {
    domain,
    mode: entry?.signing.mode ?? 'best-effort',
    keys,
    wanted: selectors === undefined ? wanted : `${wanted} (${selectors.join(', ')})`,
  };
}

/** The entry of the domain or of its nearest parent. */
export function nearestEntry(domain: string, entries: DomainConfig[]): DomainConfig | undefined {
  const byName = indexOf(entries);
  for (const name of withParents(domain)) {
    const entry = byName.get(name);
    if (entry !== undefined) return entry;
  }
  return undefined;
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

/** `a.b.c`, `b.c`, `c`. */
function* withParents(domain: string): Generator<string> {
  for (let name = domain; ; ) {
    yield name;
    const dot = name.indexOf('.');
    if (dot < 0) return;
    name = name.slice(dot + 1);
  }
}

function firstOf(names: Iterable<string>, keysOf: (name: string) => HeldKey[]): HeldKey[] {
  for (const name of names) {
    const keys = keysOf(name);
    if (keys.length > 0) return keys;
  }
  return [];
}
