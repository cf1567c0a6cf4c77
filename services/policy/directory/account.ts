import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress, DELIMITER, mailboxKey, withoutTag } from '#shared/address/canonical-address.ts';

/** A user, wherever it is written down: what it may send as, and how its password is checked. */

export type Verified =
  /** `appPassword`: the name of the one that it was. */
  | { outcome: 'right'; appPassword?: string }
  /** `reason` is for the log; the client does not learn it. */
  | { outcome: 'wrong'; reason?: string }
  | { outcome: 'unchecked'; reason: string };

/**
 * Whether `password` (UTF-8, as it came over the wire) is right for a client at `address`, which is undefined where its
 * address tells nothing. Never rejects, and costs the same for every password.
 */
export type Verify = (password: Uint8Array, address: string | undefined) => Promise<Verified>;

export type AccountFacts = {
  name: string;
  /** Others that the user logs in by. */
  otherNames?: readonly string[];
  addresses: readonly string[];
  onBehalfOf: readonly string[];
  verify: Verify;
};

/** A list of addresses, `@domain` and `*`, for look-ups. */
type Permitted = { addresses: ReadonlySet<string>; domains: ReadonlySet<string>; any: boolean };
const NONE: ReadonlySet<string> = new Set();

export class Account {
  readonly name: string;
  /** All that the user logs in by. */
  readonly names: readonly string[];
  readonly addresses: readonly string[];
  readonly onBehalfOf: readonly string[];
  readonly verify: Verify;
  // Made when it is asked for: most of many users are silent.
  #own: Permitted | undefined;
  #others: Permitted | undefined;

  constructor({ name, otherNames = [], addresses, onBehalfOf, verify }: AccountFacts) {
    this.name = name;
    this.names = [name, ...otherNames];
    this.addresses = addresses;
    this.onBehalfOf = onBehalfOf;
    this.verify = verify;
  }

  /** Its full addresses, as they are written. */
  get mailboxes(): string[] {
    return this.addresses.filter(isMailbox);
  }

  /** It may send as this address: with or without a tag its own, or of a domain that is its own. */
  permits(address: string, delimiter = DELIMITER): boolean {
    this.#own ??= permitted(this.addresses);
    return includes(this.#own, address, delimiter);
  }

  /** This address is its own by name, with or without a tag. */
  owns(address: string, delimiter = DELIMITER): boolean {
    this.#own ??= permitted(this.addresses);
    return includes({ ...this.#own, domains: NONE, any: false }, address, delimiter);
  }

  /** It may send for this author, as long as Sender is an address of its own. */
  permitsOnBehalfOf(address: string, delimiter = DELIMITER): boolean {
    this.#others ??= permitted(this.onBehalfOf);
    return includes(this.#others, address, delimiter);
  }

  /** This author stands by name among those that it may send for, with or without a tag. */
  namesOnBehalfOf(address: string, delimiter = DELIMITER): boolean {
    this.#others ??= permitted(this.onBehalfOf);
    return includes({ ...this.#others, domains: NONE, any: false }, address, delimiter);
  }

  /** It may send as everybody. */
  get permitsAny(): boolean {
    return this.addresses.includes('*');
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
function includes({ addresses, domains, any }: Permitted, address: string, delimiter: string): boolean {
  if (any) return true;
  const canonical = canonicalAddress(address);
  if (addresses.has(mailboxKey(canonical)) || domains.has(domainOf(canonical))) return true;
  const base = withoutTag(canonical, delimiter);
  return base !== undefined && addresses.has(mailboxKey(base));
}
