import type { Config, RouteConfig } from '#cluster/config/schema/schema.ts';
import type { NextHop } from '../delivery/job.ts';
import { RouteTable, type Sender } from './route-table.ts';
import type { Routing } from './routing.ts';

/** All the next hops that mail for a domain may take, by who sends it. */

/** `for`: the senders that a route names; none: everybody else. No hop: the route leads nowhere. */
export type Way = { for: Pick<RouteConfig, 'from' | 'user'>[]; hop: NextHop | undefined };

/** No domain of the name exists (RFC 6761 §6.4), so no route names it. */
const STRANGER = 'somebody@nowhere.invalid';

/** That of everybody comes first. A route that never counts, because of another one, makes none. */
export function waysTo(domain: string, routing: Routing, { routes }: Config): Way[] {
  const table = new RouteTable(routes);
  const address = `postmaster@${domain}`;
  const general: Way = { for: [], hop: routing.nextHop(address) };
  const ways = [general];
  for (const route of routes) {
    const { from, user } = route;
    const sender = senderOf(route);
    if (sender === undefined || table.routeFor(domain, sender) !== route) continue;
    const hop = routing.nextHop(address, { id: '', ...sender });
    const named = { ...(from !== undefined && { from }), ...(user !== undefined && { user }) };
    const same = ways.find((way) => way !== general && way.hop?.key === hop?.key);
    if (same !== undefined) same.for.push(named);
    else if (hop?.key !== general.hop?.key) ways.push({ for: [named], hop });
  }
  return ways;
}

/** One whom the route is for, and no other that says more of its sender; undefined: it is for everybody. */
function senderOf({ from, user }: RouteConfig): Sender | undefined {
  if (from === undefined && user === undefined) return undefined;
  const domain = from?.includes('@') === false && from !== '*' ? `somebody@${from}` : undefined;
  const reversePath = domain ?? (from === '*' ? STRANGER : (from ?? ''));
  return { reversePath, ...(user !== undefined && { user: user === '*' ? STRANGER : user }) };
}
