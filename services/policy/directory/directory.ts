import { expandAlias } from '#cluster/config/users/aliases.ts';
import { canonicalAddress, DELIMITER, mailboxKey, withoutTag, withTagOf } from '#shared/address/canonical-address.ts';
import { userKey } from '#shared/directory/values.ts';
import type { Account } from './account.ts';

/** A group by its name: addresses, and names of users and other groups. `problem`: why its members are not known. */
export type Group = { name: string; members: readonly string[]; problem?: string | undefined };

/** What is known of the block of a user. */
export type BlockedUser = { reason?: string | undefined; since?: number | undefined };

/**
 * Users, aliases, groups and maps as one source has them, by keys (`userKey` of a name, `mailboxKey` of an address). A source
 * may change between two questions, never during one.
 */
export type Entries = {
  account(key: string): Account | undefined;
  /** The full address of a user, as it is written. */
  mailbox(key: string): string | undefined;
  /** Where an alias leads, one step. */
  alias(key: string): readonly string[] | undefined;
  group(key: string): Group | undefined;
  /** The group that has an address. */
  groupAt(key: string): Group | undefined;
  /** A rewriting map. */
  map(key: string): ReadonlyMap<string, string> | undefined;
  /** The block of the user who has this name, in whatever source that user is. */
  block?(key: string): BlockedUser | undefined;
  /** A recipient of a local domain exists only when a source says so. */
  readonly namesRecipients: boolean;
  /** An address that several users or groups have, none of which is meant more than the others. */
  isAmbiguous?(key: string): boolean;
  /** Whether somebody has exactly this address, as far as the source was asked; absent: it need not be asked. */
  hasAddress?(key: string): boolean;
  /** What the source says about how it found an address or not, for administrators. */
  trace?(key: string): string | undefined;
};

/**
 * `mailbox` and `tagged`: of a user. `alias`, `group`: all that it leads to in the end. `endless`: it leads nowhere, or to
 * too many. `ambiguous`: nobody can say whose it is.
 */
export type Resolved =
  | { kind: 'ambiguous'; addresses: string[] }
  | { kind: 'mailbox' | 'tagged' | 'alias'; addresses: string[] }
  | { kind: 'group'; group: Group; addresses: string[] }
  | { kind: 'endless'; problem: string; addresses: string[] };

/** What a source says about an address. */
type AtAddress =
  | { kind: 'alias'; targets: readonly string[] }
  | { kind: 'group'; group: Group }
  | { kind: 'mailbox'; mailbox: string }
  | { kind: 'ambiguous' };

/**
 * The users, aliases and groups of several sources, of which the first that knows a name answers. Each question costs a few
 * look-ups.
 */
export class Directory {
  readonly sources: readonly Entries[];
  /** What stands before a tag; '': no address has one. */
  readonly delimiter: string;

  constructor(sources: readonly Entries[], delimiter = DELIMITER) {
    this.sources = sources;
    this.delimiter = delimiter;
  }

  /**
   * The user who has this name, or logs in by it. Not one whose own name is that of a user of an earlier source: by that
   * name it would be taken for the other one.
   */
  user(name: string): Account | undefined {
    const key = userKey(name);
    for (const [i, entries] of this.sources.entries()) {
      const account = entries.account(key);
      if (account === undefined) continue;
      const own = userKey(account.name);
      const isTaken = own !== key && this.sources.slice(0, i).some((earlier) => earlier.account(own) !== undefined);
      return isTaken ? undefined : account;
    }
    return undefined;
  }

  /** The block of whoever has this name, or logs in by it: under any of the user's names. */
  block(name: string): BlockedUser | undefined {
    const keys = new Set([name, ...(this.user(name)?.names ?? [])].map(userKey));
    for (const key of keys) {
      const found = this.#first((entries) => entries.block?.(key));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Whether a user may send as an address. */
  permits(name: string, address: string): boolean {
    const account = this.user(name);
    return account !== undefined && this.#withTags(address, (delimiter) => account.permits(address, delimiter));
  }

  /** Whether an address is one of a user's by name, not as one of a domain. */
  owns(name: string, address: string): boolean {
    const account = this.user(name);
    return account !== undefined && this.#withTags(address, (delimiter) => account.owns(address, delimiter));
  }

  /** Whether a user may send for the author `address`, as long as Sender is an address of the user. */
  permitsOnBehalfOf(name: string, address: string): boolean {
    const account = this.user(name);
    return (
      account !== undefined && this.#withTags(address, (delimiter) => account.permitsOnBehalfOf(address, delimiter))
    );
  }

  /** Whether the author `address` is one by name that a user may send for, not as one of a domain. */
  namesOnBehalfOf(name: string, address: string): boolean {
    const account = this.user(name);
    return account !== undefined && this.#withTags(address, (delimiter) => account.namesOnBehalfOf(address, delimiter));
  }

  /** What looks like a tag may be part of the name of somebody else: `anna-lena` is not `anna`. */
  #withTags(address: string, permits: (delimiter: string) => boolean): boolean {
    return permits('') || (permits(this.delimiter) && !this.#hasAddress(mailboxKey(canonicalAddress(address))));
  }

  #hasAddress(key: string): boolean {
    return this.sources.some((entries) =>
      entries.hasAddress === undefined
        ? (entries.alias(key) ?? entries.groupAt(key) ?? entries.mailbox(key)) !== undefined
        : entries.hasAddress(key),
    );
  }

  /** Whether a user may send as everybody. */
  permitsAny(name: string): boolean {
    return this.user(name)?.permitsAny ?? false;
  }

  /** Whether a recipient of a local domain that it does not know does not exist. */
  get namesRecipients(): boolean {
    return this.sources.some((entries) => entries.namesRecipients);
  }

  group(name: string): Group | undefined {
    return this.#first((entries) => entries.group(userKey(name)));
  }

  map(name: string): ReadonlyMap<string, string> | undefined {
    return this.#first((entries) => entries.map(userKey(name)));
  }

  /**
   * Where mail for an address (canonical) goes; undefined when it is not known. A mailbox comes back as it is written in
   * the directory, `tagged` with the tag that the sender wrote; a tag on an alias or a group is dropped.
   */
  resolve(address: string): Resolved | undefined {
    const exact = this.#at(mailboxKey(address));
    if (exact?.kind === 'mailbox') return { kind: 'mailbox', addresses: [exact.mailbox] };
    if (exact !== undefined) return this.#expanded(mailboxKey(address), exact);
    const base = withoutTag(address, this.delimiter);
    const found = base === undefined ? undefined : this.#at(mailboxKey(base));
    if (base === undefined || found === undefined) return undefined;
    if (found.kind !== 'mailbox') return this.#expanded(mailboxKey(base), found);
    return { kind: 'tagged', addresses: [withTagOf(found.mailbox, address, this.delimiter)] };
  }

  /** What the sources say about how they found an address or not, for administrators. */
  trace(address: string): string[] {
    const keys = [address, withoutTag(address, this.delimiter)].flatMap((one) =>
      one === undefined ? [] : [mailboxKey(one)],
    );
    const traces = this.sources.flatMap((entries) => keys.map((key) => entries.trace?.(key)));
    return traces.filter((text) => text !== undefined);
  }

  /** The address of the group that mail for an address (canonical) goes to: itself, or what is left without its tag. */
  groupAddress(address: string): string | undefined {
    const exact = this.#at(mailboxKey(address));
    if (exact !== undefined) return exact.kind === 'group' ? address : undefined;
    const base = withoutTag(address, this.delimiter);
    return base !== undefined && this.#at(mailboxKey(base))?.kind === 'group' ? base : undefined;
  }

  /** What the first source that knows exactly this address says about it. */
  #at(key: string): AtAddress | undefined {
    return this.#first((entries): AtAddress | undefined => {
      const alias = entries.alias(key);
      if (alias !== undefined) return { kind: 'alias', targets: alias };
      const group = entries.groupAt(key);
      if (group !== undefined) return { kind: 'group', group };
      const mailbox = entries.mailbox(key);
      if (mailbox !== undefined) return { kind: 'mailbox', mailbox };
      return entries.isAmbiguous?.(key) ? { kind: 'ambiguous' } : undefined;
    });
  }

  /** Where mail for the alias or group goes that has exactly this address. */
  #expanded(key: string, at: Exclude<AtAddress, { kind: 'mailbox' }>): Resolved {
    if (at.kind === 'ambiguous') return { kind: 'ambiguous', addresses: [] };
    const problems = new Set<string>();
    const expanded = expandAlias(key, { get: (one) => this.#leadsTo(one, problems) }, this.delimiter);
    const [problem] = problems;
    if (problem !== undefined) return { kind: 'endless', problem, addresses: [] };
    if (!expanded.ok) return { kind: 'endless', problem: expanded.message, addresses: [] };
    // As `resolve` gives a mailbox that is named itself, so that it is known to be the same.
    const addresses = expanded.addresses.map((address) => {
      const end = this.#at(mailboxKey(address));
      return end?.kind === 'mailbox' ? end.mailbox : address;
    });
    return at.kind === 'group' ? { kind: 'group', group: at.group, addresses } : { kind: 'alias', addresses };
  }

  /** One step from an alias or the address of a group; from the name of a member, which has no `@`, to what it stands for. */
  #leadsTo(key: string, problems: Set<string>): readonly string[] | undefined {
    if (key.includes('@')) {
      const at = this.#at(key);
      if (at?.kind === 'alias') return at.targets;
      if (at?.kind !== 'group') return undefined;
      if (at.group.problem !== undefined) problems.add(at.group.problem);
      return at.group.members;
    }
    return this.group(key)?.members ?? this.user(key)?.mailboxes.slice(0, 1) ?? [];
  }

  #first<T>(ask: (entries: Entries) => T | undefined): T | undefined {
    for (const entries of this.sources) {
      const found = ask(entries);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** undefined: what is asked cannot be known now; null: there is none. */
export type AnyDirectory = Directory | undefined | null;

/** What a directory is asked about: names of users, canonical addresses of recipients, names of rewriting maps. */
export type Question = { users?: readonly string[]; addresses?: readonly string[]; maps?: readonly string[] };

/** How those who gather facts ask: without a promise where nothing has to be waited for. */
export type AskDirectory = (question: Question) => AnyDirectory | Promise<AnyDirectory>;
