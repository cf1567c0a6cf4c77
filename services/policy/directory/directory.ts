import { aliasFor, expandAlias } from '#cluster/config/users/aliases.ts';
import { type User, type Users, userKey } from '#cluster/config/users/users-file.ts';
import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey, withoutTag, withTagOf } from '#shared/address/canonical-address.ts';

/** A list of addresses, `@domain` and `*`, for look-ups. */
type Permitted = { addresses: Set<string>; domains: Set<string>; any: boolean };

/** `own`: what a user may send as. `others`: whom the user may send for, as Sender. */
type Account = { user: User; own: Permitted; others: Permitted };

/**
 * One version of the users file, arranged so that a question costs a few map look-ups. It never changes; a new
 * version of the file makes a new directory.
 */
export class Directory {
  readonly #accounts = new Map<string, Account>();
  /** Every full address of a user, as the file spells it. */
  readonly #mailboxes = new Map<string, string>();
  /** Where every alias ends, and the aliases themselves for the look-up without a tag. */
  readonly #aliases = new Map<string, string[]>();

  constructor({ users, aliases }: Users) {
    for (const user of users) {
      const account = { user, own: permitted(user.addresses), others: permitted(user['on-behalf-of']) };
      this.#accounts.set(userKey(user.name), account);
      for (const address of user.addresses.filter(isMailbox)) this.#mailboxes.set(mailboxKey(address), address);
    }
    const byKey = new Map([...aliases].map(([name, targets]) => [mailboxKey(name), targets]));
    for (const key of byKey.keys()) {
      const expanded = expandAlias(key, byKey);
      if (expanded.ok) this.#aliases.set(key, expanded.addresses);
    }
  }

  user(name: string): User | undefined {
    return this.#accounts.get(userKey(name))?.user;
  }

  /** Whether a user may send as an address: it is his, with or without a tag, or of a domain that is his. */
  permits(name: string, address: string): boolean {
    const account = this.#accounts.get(userKey(name));
    return account !== undefined && includes(account.own, address);
  }

  /** Whether a user may send for the author `address`, as long as Sender is an address of the user. */
  permitsOnBehalfOf(name: string, address: string): boolean {
    const account = this.#accounts.get(userKey(name));
    return account !== undefined && includes(account.others, address);
  }

  /** Whether a user may send as everybody. */
  permitsAny(name: string): boolean {
    return this.#accounts.get(userKey(name))?.own.any ?? false;
  }

  /**
   * Where mail for an address (canonical) goes; undefined when it is not in the file. A mailbox comes back as the file
   * spells it, `tagged` with the tag that the sender wrote; a tag on an alias is dropped.
   */
  resolve(address: string): { kind: 'mailbox' | 'tagged' | 'alias'; addresses: string[] } | undefined {
    const key = mailboxKey(address);
    const exact = this.#aliases.get(key);
    if (exact !== undefined) return { kind: 'alias', addresses: exact };
    const mailbox = this.#mailboxes.get(key);
    if (mailbox !== undefined) return { kind: 'mailbox', addresses: [mailbox] };
    const base = withoutTag(address);
    if (base === undefined) return undefined;
    const alias = aliasFor(address, this.#aliases);
    if (alias !== undefined) return { kind: 'alias', addresses: this.#aliases.get(alias) ?? [] };
    const tagged = this.#mailboxes.get(mailboxKey(base));
    return tagged === undefined ? undefined : { kind: 'tagged', addresses: [withTagOf(tagged, address)] };
  }
}

const isMailbox = (entry: string): boolean => entry !== '*' && !entry.startsWith('@');

function permitted(entries: readonly string[]): Permitted {
  return {
    addresses: new Set(entries.filter(isMailbox).map(mailboxKey)),
    domains: new Set(entries.filter((entry) => entry.startsWith('@')).map(domainOf)),
    any: entries.includes('*'),
  };
}

/** With or without a tag. */
function includes({ addresses, domains, any }: Permitted, address: string): boolean {
  if (any) return true;
  const canonical = canonicalAddress(address);
  if (addresses.has(mailboxKey(canonical)) || domains.has(domainOf(canonical))) return true;
  const base = withoutTag(canonical);
  return base !== undefined && addresses.has(mailboxKey(base));
}
