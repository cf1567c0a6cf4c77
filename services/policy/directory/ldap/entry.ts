import type { LdapSchema } from '#cluster/config/ldap.ts';
import { canonicalAddress } from '#shared/address/canonical-address.ts';
import { isMailbox, userKey } from '#shared/directory/values.ts';
import { UNPRINTABLE } from '#shared/text.ts';
import type { RawEntry } from './messages.ts';

/** What an entry of an LDAP directory says about mail. Nothing in it is trusted; what is of no use is left out. */

export type LdapEntry = {
  dn: string;
  /** Names by which its user logs in; the first is the user's name. */
  logins: readonly string[];
  /** Canonical. */
  addresses: readonly string[];
  /** Addresses that its mail goes to instead. */
  targets: readonly string[];
  /** undefined: it is no group. DNs, addresses and names, `MOST_MEMBERS` and one more where there are others. */
  members: readonly string[] | undefined;
  /** Attributes with values that are no text, or hold what is unprintable. */
  unusable: readonly string[];
};

/** More are for a mailing list. */
export const MOST_MEMBERS = 1000;
/** Of a user. */
const MOST_VALUES = 500;

/** Object classes of groups, which may have no member. */
const GROUPS = new Set([
  ...['group', 'groupofnames', 'groupofuniquenames', 'groupofmembers', 'groupofurls'],
  ...['dominogroup', 'nismailalias', 'posixgroup'],
]);

const decoder = new TextDecoder('utf-8', { fatal: true });

/** undefined: it has no name that could be used. Fails with `MalformedMessage`. */
export function readEntry(raw: RawEntry, { attributes }: LdapSchema): LdapEntry | undefined {
  if (!raw.dn.includes('=') || UNPRINTABLE.test(raw.dn)) return undefined;
  const unusable = new Set<string>();
  const values = (names: readonly string[], most: number): string[] =>
    names.flatMap((name) => {
      const texts = valuesOf(raw, name, most).map(textIn);
      if (texts.includes(undefined)) unusable.add(name);
      return texts.filter((text) => text !== undefined);
    });
  const members = values(attributes.members, MOST_MEMBERS + 1);
  const classes = values(['objectClass'], MOST_VALUES).map((name) => name.toLowerCase());
  const isGroup = members.length > 0 || classes.some((name) => GROUPS.has(name));
  return {
    dn: raw.dn,
    logins: unique(
      // Servers return the values of an attribute in any order: a user must not change names.
      attributes.login.flatMap((name) => values([name], MOST_VALUES).sort()),
      userKey,
    ),
    addresses: unique(values(attributes.addresses, MOST_VALUES).flatMap(addressIn), (address) => address),
    targets: unique(values(attributes.targets, MOST_VALUES).flatMap(addressIn), (address) => address),
    members: isGroup ? members : undefined,
    unusable: [...unusable],
  };
}

/** Whether a user logs in by this name. What a server matches may differ from it, by spaces for instance. */
export function hasLogin({ logins }: LdapEntry, key: string): boolean {
  return logins.some((login) => userKey(login) === key);
}

/** The address of a value: of `SMTP:a@b.example` as Exchange writes it too, not of `X500:/o=…`. */
export function addressIn(value: string): string[] {
  const [, address = ''] = /^(?:smtp:)?([^:]*)$/i.exec(value) ?? [];
  return isMailbox(address) ? [canonicalAddress(address)] : [];
}

/** Of an attribute with any options: `member;range=0-1499` holds the first 1500 members (Active Directory). */
function valuesOf({ attributes }: RawEntry, attribute: string, most: number): Buffer[] {
  const name = attribute.toLowerCase();
  const found: Buffer[] = [];
  for (const [type, values] of attributes) {
    if (type === name || type.startsWith(`${name};`)) found.push(...values(most - found.length));
  }
  return found;
}

function textIn(value: Buffer): string | undefined {
  try {
    const text = decoder.decode(value).trim();
    return text === '' || UNPRINTABLE.test(text) ? undefined : text;
  } catch {
    // No UTF-8.
    return undefined;
  }
}

/** Each once, in the order in which they come first. */
function unique(values: readonly string[], keyOf: (value: string) => string): string[] {
  const found = new Map<string, string>();
  for (const value of values) if (!found.has(keyOf(value))) found.set(keyOf(value), value);
  return [...found.values()];
}
