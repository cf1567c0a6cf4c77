import {
  AndFilter,
  ApproximateFilter,
  EqualityFilter,
  ExtensibleFilter,
  type Filter,
  FilterParser,
  GreaterThanEqualsFilter,
  LessThanEqualsFilter,
  NotFilter,
  OrFilter,
  SubstringFilter,
} from 'ldapts';

/**
 * How entries of an LDAP directory are found and read: filters with places for what is looked for, and names of
 * attributes. A preset has them for a kind of directory; the configuration can put its own in place of each.
 */

export type LdapSchema = {
  filters: {
    /** Of people and groups with an address: `{address}`, or its parts `{local}` and `{domain}`. */
    address: string;
    /** Of those who log in with the name `{login}`. */
    login: string;
  };
  attributes: {
    addresses: readonly string[];
    /** By which users log in. What the first one says is the name of the user. */
    login: readonly string[];
    /** Addresses that mail goes to instead. */
    targets: readonly string[];
    /** DNs, addresses or names of users. */
    members: readonly string[];
  };
  /** What it means that an answer has nothing but names of other servers: nobody knows, or there is nothing. */
  referrals: 'defer' | 'ignore';
};

export const LDAP_PRESETS = {
  /** inetOrgPerson (RFC 2798), groups of RFC 4519 §3, and misc.schema for aliases. */
  openldap: {
    filters: {
      address: '(|(mail={address})(mailLocalAddress={address}))',
      login: '(&(objectClass=person)(|(uid={login})(mail={login})))',
    },
    attributes: {
      addresses: ['mail', 'mailLocalAddress'],
      login: ['uid', 'mail'],
      targets: ['mailRoutingAddress'],
      members: ['member', 'uniqueMember', 'rfc822MailMember'],
    },
    referrals: 'defer',
  },
  /** Every search from the root of a domain is answered with the names of its other partitions, which hold no mailboxes. */
  'active-directory': {
    filters: {
      address: '(|(mail={address})(proxyAddresses=smtp:{address}))',
      // Bit 2 of userAccountControl: the account is disabled.
      login:
        '(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={login})(userPrincipalName={login})(mail={login}))(!(userAccountControl:1.2.840.113556.1.4.803:=2)))',
    },
    attributes: {
      addresses: ['mail', 'proxyAddresses'],
      login: ['sAMAccountName', 'userPrincipalName', 'mail'],
      targets: ['targetAddress'],
      members: ['member'],
    },
    referrals: 'ignore',
  },
  /** Domino finds people by their internet address, else by short name or full name before the `@`. */
  domino: {
    filters: {
      address: '(|(mail={address})(uid={local})(cn={local}))',
      login: '(&(objectClass=dominoPerson)(|(uid={login})(cn={login})(mail={login})))',
    },
    attributes: {
      addresses: ['mail'],
      login: ['uid', 'cn', 'mail'],
      targets: [],
      members: ['member'],
    },
    referrals: 'defer',
  },
} as const satisfies Record<string, LdapSchema>;

const PLACE = /\{([a-z]*)\}/g;
export type Places = Record<string, string>;

/** The names of the places of a filter. Fails where it is none (RFC 4515). */
export function placesOf(text: string): Set<string> {
  const names = new Set<string>();
  mapValues(FilterParser.parseString(text), (value) => {
    for (const [, name = ''] of value.matchAll(PLACE)) names.add(name);
    return value;
  });
  return names;
}

/**
 * A filter whose places are filled in after it was parsed: whatever a value holds, it stays a value, and nothing has to be
 * escaped (RFC 4515 §3).
 */
export function filterTemplate(text: string): (places: Places) => Filter {
  const template = FilterParser.parseString(text);
  return (places) => mapValues(template, (value) => value.replace(PLACE, (place, name) => places[name] ?? place));
}

type Change = (value: string) => string;

/** A copy of a filter with other values. */
function mapValues(filter: Filter, change: Change): Filter {
  const changed = (value: Buffer | string) => (typeof value === 'string' ? change(value) : value);
  if (filter instanceof AndFilter) return new AndFilter({ filters: filter.filters.map((f) => mapValues(f, change)) });
  if (filter instanceof OrFilter) return new OrFilter({ filters: filter.filters.map((f) => mapValues(f, change)) });
  if (filter instanceof NotFilter) return new NotFilter({ filter: mapValues(filter.filter, change) });
  if (filter instanceof SubstringFilter) {
    const { attribute, initial, any, final } = filter;
    return new SubstringFilter({ attribute, initial: change(initial), any: any.map(change), final: change(final) });
  }
  if (filter instanceof ExtensibleFilter) {
    const { matchType, rule, dnAttributes, value } = filter;
    return new ExtensibleFilter({ matchType, rule, dnAttributes, value: change(value) });
  }
  if (filter instanceof EqualityFilter) {
    return new EqualityFilter({ attribute: filter.attribute, value: changed(filter.value) });
  }
  for (const Kind of [ApproximateFilter, GreaterThanEqualsFilter, LessThanEqualsFilter]) {
    if (filter instanceof Kind) return new Kind({ attribute: filter.attribute, value: change(filter.value) });
  }
  // Presence has no value.
  return filter;
}
