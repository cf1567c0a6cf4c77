import { inLocalDomain } from '#cluster/config/domain-aliases.ts';
import { type AddressPlace, isReplacement } from '#cluster/config/schema/rewrite.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { domainOf, localPartOf } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey, withoutTag, withTagOf } from '#shared/address/canonical-address.ts';
import type { AnyDirectory } from '../directory/directory.ts';

/**
 * Rewriting of addresses. Where each takes place in the life of a message:
 *
 *   MAIL     the reverse-path, of mail that originates here (sender/canonical-sender.ts). Whether a user may send as an
 *            address is asked of what the client named and of what that becomes: one of the two must be the user's.
 *   RCPT     the recipient, of all mail: canonical maps, then domain aliases (gathering/recipient.ts), before any check
 *            looks at it. Then an SRS address becomes the sender that it stands for (recipient/srs-return.ts), an alias or
 *            a group its members (known-mailbox.ts), those of a group with an owner get the owner as reverse-path
 *            (list-owner.ts), and recipients elsewhere one of SRS (srs-forward.ts).
 *   message  header fields, of mail that originates here (message/canonical-header.ts), once; then the reverse-path from
 *            From (message/author-reverse-path.ts). The rewritten header goes to the router with the commit.
 *   delivery nothing. The DKIM signature is made here, over the header as it was rewritten; the body hash that was
 *            computed on arrival still holds, because no rewriting touches the body.
 *
 * Header fields of others are never rewritten, nor are those that bear a signature: it would break.
 *
 * Each address is looked up once, in this order: as it is, without its tag (which then stays), its local part alone in a
 * local domain, its domain. What it becomes is not looked up again.
 */
export class Rewriting {
  readonly #maps: readonly { name: string | undefined; map: AddressMap; of: ReadonlySet<AddressPlace> }[];
  /** Names of the maps of the directory that it looks into. */
  readonly maps: readonly string[];
  readonly #aliases: Config['rewrite']['domain-aliases'];
  readonly #local: ReadonlySet<string>;
  readonly #own: ReadonlySet<string>;
  /** What stands before a tag in a local part; '': no address has one. */
  readonly delimiter: string;
  readonly keepOriginal: boolean;
  readonly reversePathFrom: boolean;
  /** The domain of SRS addresses; undefined: there are none. */
  readonly srsDomain: string | undefined;

  constructor({ rewrite, domains }: Pick<Config, 'rewrite' | 'domains'>) {
    this.#maps = rewrite.canonical.map(({ map, directory, of }) => ({
      name: directory,
      map: addressMap(Object.entries(map)),
      of: new Set(of),
    }));
    this.maps = this.#maps.flatMap(({ name }) => name ?? []);
    this.#aliases = rewrite['domain-aliases'];
    const local = domains.filter((d) => d.local).map((d) => d.name);
    this.#local = new Set([...local, ...Object.keys(this.#aliases)]);
    this.srsDomain = rewrite.srs?.domain;
    this.#own = new Set([...this.#local, ...domains.map((d) => d.name), ...(rewrite.srs ? [rewrite.srs.domain] : [])]);
    this.delimiter = rewrite.delimiter;
    this.keepOriginal = rewrite['keep-original'];
    this.reversePathFrom = rewrite['reverse-path'] === 'from';
  }

  /** Whether mail may be sent in the name of a domain (normalized) from here: one of `domains`, or another name of one. */
  isOwn(domain: string): boolean {
    return this.#own.has(domain);
  }

  /** Whether there is a map for any of these places. */
  rewrites(...places: AddressPlace[]): boolean {
    return this.#maps.some(({ of }) => places.some((place) => of.has(place)));
  }

  /**
   * What an address becomes at a place: itself, as it is written, where no map has it; undefined where a map of the
   * directory cannot be read now.
   */
  canonical(address: string, place: AddressPlace, directory: AnyDirectory): string | undefined {
    for (const { name, map, of } of this.#maps) {
      if (!of.has(place)) continue;
      const found = this.#lookUp(canonicalAddress(address), map);
      if (found !== undefined) return found;
      if (name === undefined) continue;
      if (directory === undefined) return undefined;
      const named = mapOf(directory, name);
      const other = named && this.#lookUp(canonicalAddress(address), named);
      if (other !== undefined) return other;
    }
    return address;
  }

  /** An address (canonical) of a domain that is another name of a local one, in that. */
  inLocalDomain(address: string): string {
    return inLocalDomain(address, this.#aliases);
  }

  /** Those that may have a tag, canonical: whose they are depends on whether somebody has the whole address. */
  tagged(addresses: readonly string[]): string[] {
    return addresses.map(canonicalAddress).filter((address) => withoutTag(address, this.delimiter) !== undefined);
  }

  /** The names of a mailbox: as it is written, and where its domain is another name of a local one, in that. */
  namesOf(address: string): string[] {
    return [...new Set([address, this.inLocalDomain(canonicalAddress(address))])];
  }

  #lookUp(address: string, map: AddressMap): string | undefined {
    const domain = domainOf(address);
    const exact = map.get(mailboxKey(address));
    if (exact !== undefined) return replaced(address, exact);
    const base = withoutTag(address, this.delimiter);
    const tagged = base === undefined ? undefined : map.get(mailboxKey(base));
    if (base !== undefined && tagged !== undefined) return withTagOf(replaced(base, tagged), address, this.delimiter);
    const alone = this.#local.has(domain) ? map.get(mailboxKey(localPartOf(address))) : undefined;
    const whole = alone ?? map.get(`@${domain}`);
    return whole === undefined ? undefined : replaced(address, whole);
  }
}

/** By `user@domain`, `@domain` or a local part, in lower case: `user@domain`, or `@domain`, which keeps the local part. */
type AddressMap = ReadonlyMap<string, string>;

function addressMap(entries: Iterable<readonly [string, string]>): AddressMap {
  const map = new Map<string, string>();
  for (const [pattern, replacement] of entries) {
    const becomes = canonicalAddress(replacement);
    if (isReplacement(becomes)) map.set(mailboxKey(canonicalAddress(pattern)), becomes);
  }
  return map;
}

function replaced(address: string, replacement: string): string {
  return replacement.startsWith('@') ? `${localPartOf(address)}${replacement}` : replacement;
}

/** Maps of the directory, arranged; as long as the directory has this version of them. */
const arranged = new WeakMap<ReadonlyMap<string, string>, AddressMap>();

function mapOf(directory: AnyDirectory, name: string): AddressMap | undefined {
  const raw = directory?.map(name);
  if (raw === undefined) return undefined;
  let map = arranged.get(raw);
  if (map === undefined) {
    map = addressMap(raw);
    arranged.set(raw, map);
  }
  return map;
}
