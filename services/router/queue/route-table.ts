import type { RouteConfig } from '#cluster/config/schema/schema.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { nearest, withParents } from '#shared/address/domains.ts';

/**
 * Which route mail takes. The routes with the most specific `to` that have one for the sender are asked, and of these the most
 * specific one counts: first by `user`, whom we know, then by `from`, which a client may choose. A route without `user` or
 * `from` is for everybody. So what is said of a recipient domain comes before what is said of a sender anywhere else, and the
 * order in the file means nothing.
 */

/** Who sends: the reverse-path that the next hop gets, '' for the null one, and the authenticated user. */
export type Sender = { reversePath: string; user?: string | undefined };

/** Mail for which there is no route goes to its MX hosts (RFC 5321 §5.1). */
const BY_MX: RouteConfig = { to: '*', via: 'mx', tls: 'opportunistic' };
const NOBODY: Sender = { reversePath: '' };
/** More than a domain has labels. */
const MOST_LABELS = 255;

export class RouteTable {
  readonly #byTo: ReadonlyMap<string, RouteConfig[]>;
  /** Whether a sender matters at all. */
  readonly bySender: boolean;

  constructor(routes: readonly RouteConfig[]) {
    this.#byTo = Map.groupBy(routes, ({ to }) => to);
    this.bySender = routes.some(({ from, user }) => from !== undefined || user !== undefined);
  }

  routeFor(domain: string, sender: Sender = NOBODY): RouteConfig {
    const bestTo = (to: string): RouteConfig | undefined => best(this.#byTo.get(to), sender);
    return nearest(normalizeDomain(domain), bestTo) ?? bestTo('*') ?? BY_MX;
  }
}

function best(routes: readonly RouteConfig[] | undefined, sender: Sender): RouteConfig | undefined {
  let found: { route: RouteConfig; rank: number } | undefined;
  for (const route of routes ?? []) {
    const rank = rankOf(route, sender);
    if (rank !== undefined && (found === undefined || rank > found.rank)) found = { route, rank };
  }
  return found?.route;
}

/** How specific a route is about a sender; undefined: it is not for that one. */
function rankOf({ from, user }: RouteConfig, sender: Sender): number | undefined {
  const ofUser = userRank(user, sender.user);
  const ofSender = fromRank(from, sender.reversePath);
  return ofUser === undefined || ofSender === undefined ? undefined : ofUser * 1000 + ofSender;
}

function userRank(wanted: string | undefined, user: string | undefined): number | undefined {
  if (wanted === undefined) return 0;
  if (user === undefined) return undefined;
  if (mailboxKey(wanted) === mailboxKey(user)) return 2;
  return wanted === '*' ? 1 : undefined;
}

/** The null reverse-path has no sender that a route could name. */
function fromRank(wanted: string | undefined, reversePath: string): number | undefined {
  if (wanted === undefined) return 0;
  if (reversePath === '') return undefined;
  if (wanted === '*') return 1;
  const address = mailboxKey(canonicalAddress(reversePath));
  if (wanted.includes('@')) return mailboxKey(canonicalAddress(wanted)) === address ? MOST_LABELS + 2 : undefined;
  const isBelow = [...withParents(normalizeDomain(domainOf(address)))].includes(wanted);
  return isBelow ? 1 + wanted.split('.').length : undefined;
}
