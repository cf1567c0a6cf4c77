import type { LdapEntry } from './entry.ts';

/**
 * What LDAP answered, for as long as that holds. Memory: entries, addresses and members are counted together, and there are
 * at most `most`; what was learned longest ago makes room.
 */

type Known = { entries: readonly LdapEntry[]; expires: number; weight: number };

export class LdapCache {
  readonly #most: number;
  readonly #known = new Map<string, Known>();
  #weight = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** undefined: not known; none: it is known that there is none. */
  get(key: string): readonly LdapEntry[] | undefined {
    const known = this.#known.get(key);
    if (known === undefined || known.expires > performance.now()) return known?.entries;
    this.#delete(key);
    return undefined;
  }

  set(key: string, entries: readonly LdapEntry[], ms: number): void {
    this.#delete(key);
    const weight = entries.reduce((sum, entry) => sum + weightOf(entry), 1);
    if (ms === 0 || weight > this.#most) return;
    this.#weight += weight;
    this.#known.set(key, { entries, expires: performance.now() + ms, weight });
    for (const oldest of this.#known.keys()) {
      if (this.#weight <= this.#most) break;
      this.#delete(oldest);
    }
  }

  #delete(key: string): void {
    this.#weight -= this.#known.get(key)?.weight ?? 0;
    this.#known.delete(key);
  }
}

function weightOf({ addresses, logins, targets, members = [] }: LdapEntry): number {
  return addresses.length + logins.length + targets.length + members.length;
}
