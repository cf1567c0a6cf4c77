import { domainOf } from '#shared/address/address.ts';
import { mailboxKey } from '#shared/address/canonical-address.ts';
import { userKey } from '#shared/directory/values.ts';
import { Account, type Verify } from '../account.ts';
import type { Entries, Group } from '../directory.ts';
import { hasLogin, type LdapEntry } from './entry.ts';
import { keyOf, MOST_ENTRIES, type Wanted } from './lookups.ts';

/**
 * What LDAP says about one question, as a source of a `Directory`.
 *
 * It notes what it is asked and does not know, and answers that there is nothing. `ldap-directory.ts` finds that, and has
 * the question answered again, until nothing is missing: so aliases and groups are followed through all sources. `complete`
 * ends that; what is asked then and was not before is a mistake of ours, not something that does not exist.
 */

export type EntriesOptions = {
  /** Addresses of other domains are not looked for. */
  isLocal: (domain: string) => boolean;
  ambiguous: 'refuse' | 'all';
  verify: (login: string) => Verify;
};

export class LdapEntries implements Entries {
  readonly namesRecipients = true;
  readonly #options: EntriesOptions;
  readonly #answers = new Map<string, readonly LdapEntry[]>();
  readonly #groups = new Map<string, Group>();
  readonly #missing = new Map<string, Wanted>();
  #isComplete = false;

  constructor(options: EntriesOptions) {
    this.#options = options;
  }

  /** What was asked and is not known, once. */
  takeMissing(): Wanted[] {
    const missing = [...this.#missing.values()];
    this.#missing.clear();
    return missing;
  }

  add(wanted: Wanted, entries: readonly LdapEntry[]): void {
    this.#answers.set(keyOf(wanted), entries);
  }

  /** A user who was met as a member of a group. */
  addUser(address: string, user: LdapEntry): void {
    const key = keyOf({ address });
    if (!this.#answers.has(key)) this.#answers.set(key, [user]);
  }

  addGroup(entry: LdapEntry, group: Group): void {
    this.#groups.set(entry.dn, group);
  }

  /** Whether the members of a group are still to be found. */
  lacks(entry: LdapEntry): boolean {
    return entry.members !== undefined && !this.#groups.has(entry.dn);
  }

  complete(): void {
    this.#isComplete = true;
  }

  account(key: string): Account | undefined {
    const [entry, another] = this.#withLogin(key);
    if (entry === undefined) return undefined;
    if (another !== undefined) return ambiguousAccount(key);
    const { logins, addresses } = entry;
    const [name = key, ...otherNames] = logins;
    return new Account({ name, otherNames, addresses, onBehalfOf: [], verify: this.#options.verify(key) });
  }

  mailbox(key: string): string | undefined {
    const entry = this.#only(key);
    if (entry === undefined || entry.members !== undefined || entry.targets.length > 0) return undefined;
    return addressOf(entry, key);
  }

  alias(key: string): readonly string[] | undefined {
    const entries = this.#at(key);
    if (entries.length > 1 && !this.isAmbiguous(key)) {
      if (this.groupAt(key) !== undefined) return undefined;
      const all = entries.flatMap((one) => this.#groupOf(one)?.members ?? targetsOf(one, key));
      return [...new Set(all)];
    }
    const entry = this.#only(key);
    return entry?.members === undefined && entry !== undefined && entry.targets.length > 0 ? entry.targets : undefined;
  }

  group(): undefined {
    return undefined;
  }

  /** Of several entries, the group whose members are not known: then nobody gets the mail. */
  groupAt(key: string): Group | undefined {
    const groups = this.#at(key).map((entry) => this.#groupOf(entry));
    return groups.length === 1 ? groups[0] : groups.find((group) => group?.problem !== undefined);
  }

  map(): undefined {
    return undefined;
  }

  isAmbiguous(key: string): boolean {
    const { length } = this.#at(key);
    return length > 1 && (this.#options.ambiguous === 'refuse' || length >= MOST_ENTRIES);
  }

  hasAddress(key: string): boolean {
    return (this.#answers.get(keyOf({ address: key })) ?? []).length > 0;
  }

  trace(key: string): string | undefined {
    const entries = this.#answers.get(keyOf({ address: key }));
    if (entries === undefined) return undefined;
    const names = entries.slice(0, 3).map(({ dn }) => dn);
    const more = entries.length > names.length ? ` and ${entries.length - names.length} more` : '';
    return names.length === 0 ? `LDAP has no entry for ${key}` : `LDAP has ${key}: ${names.join(' and ')}${more}`;
  }

  /** Users with this name for log-ins, by whatever name of theirs they were asked for. */
  #withLogin(key: string): readonly LdapEntry[] {
    const answer = this.#answers.get(keyOf({ login: key }));
    if (answer !== undefined) return answer.filter((entry) => hasLogin(entry, key));
    for (const [wanted, entries] of this.#answers) {
      if (wanted.startsWith('login ') && entries.length === 1 && entries.some((one) => hasLogin(one, key)))
        return entries;
    }
    this.#miss({ login: key });
    return [];
  }

  #at(key: string): readonly LdapEntry[] {
    if (!key.includes('@') || !this.#options.isLocal(domainOf(key))) return [];
    const answer = this.#answers.get(keyOf({ address: key }));
    if (answer === undefined) this.#miss({ address: key });
    return answer ?? [];
  }

  #only(key: string): LdapEntry | undefined {
    const entries = this.#at(key);
    return entries.length === 1 ? entries[0] : undefined;
  }

  #groupOf(entry: LdapEntry): Group | undefined {
    return entry.members === undefined ? undefined : this.#groups.get(entry.dn);
  }

  #miss(wanted: Wanted): void {
    if (this.#isComplete) throw new Error(`LDAP was not asked for the ${keyOf(wanted)}`);
    this.#missing.set(keyOf(wanted), wanted);
  }
}

/** The address as the entry has it; else its first one: the local part was a name of the user. */
function addressOf({ addresses }: LdapEntry, key: string): string {
  return addresses.find((address) => mailboxKey(address) === key) ?? addresses[0] ?? key;
}

function targetsOf(entry: LdapEntry, key: string): readonly string[] {
  return entry.targets.length > 0 ? entry.targets : [addressOf(entry, key)];
}

function ambiguousAccount(key: string): Account {
  const verify: Verify = async () => ({ outcome: 'wrong', reason: 'several entries of LDAP have this name' });
  return new Account({ name: userKey(key), addresses: [], onBehalfOf: [], verify });
}
