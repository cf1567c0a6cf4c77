import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { DomainList } from './host-list.ts';

/** A list of addresses, and of domains with everything below them, arranged for matching. */
export class MailboxList {
  readonly #addresses: ReadonlyMap<string, string>;
  readonly #domains: DomainList;

  /** `entries`: addresses or normalized domains. */
  constructor(entries: readonly string[]) {
    const addresses = entries.filter((entry) => entry.includes('@'));
    this.#addresses = new Map(addresses.map((entry) => [mailboxKey(canonicalAddress(entry)), entry]));
    this.#domains = new DomainList(entries.filter((entry) => !entry.includes('@')));
  }

  /** The entry that is the address, or holds its domain. `address` is canonical. */
  match(address: string): string | undefined {
    return this.#addresses.get(mailboxKey(address)) ?? this.#domains.match(domainOf(address));
  }
}
