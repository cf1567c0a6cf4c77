import { networkInterfaces } from 'node:os';
import { parseIp } from '#shared/address/ip-address.ts';
import type { Problem } from '../problems/problem.ts';
import { hopsOf, type NextHopSpec, parseVia, type RouteHop } from '../schema/route.ts';
import type { Config, RouteConfig } from '../schema/schema.ts';
import { duplicates, type Rule } from './rule.ts';

/** Rules of routes: a list of hosts that fit together, and log-ins that go to a protected host alone. */

function routeProblems({ routes }: Config): Problem[] {
  return routes.flatMap((route, i) =>
    [...listProblems(route), ...loginProblems(route), ...sourceProblems(route)].map(({ path, message }) => ({
      path: ['routes', i, ...path],
      message,
    })),
  );
}

/** A list has hosts of one protocol, each once, and a weight compares neighbours. */
function listProblems(route: RouteConfig): Problem[] {
  if (typeof route.via === 'string') return [];
  const hops = hopsOf(route);
  const specs = hops.map(({ hop }) => parseVia(hop));
  const at = (i: number, message: string): Problem => ({ path: ['via', i], message });
  const other = specs.findIndex((spec) => spec?.kind !== 'smtp' && spec?.kind !== 'lmtp');
  if (other >= 0)
    return [at(other, `${hops[other]?.hop} is not a host: a list has hosts alone, smtp[s]://… or lmtp://…`)];
  const mixed = specs.findIndex((spec) => spec?.kind !== specs[0]?.kind);
  if (mixed >= 0) return [at(mixed, 'a list has hosts of one protocol: smtp:// and smtps://, or lmtp://')];
  const alone = hops.findIndex(
    ({ weight }, i) => weight !== undefined && [i - 1, i + 1].every((n) => hops[n]?.weight === undefined),
  );
  if (alone >= 0)
    return [at(alone, 'a weight is a part of the mail beside a neighbour that has one: give one to both, or to none')];
  return duplicates(
    hops.map(({ hop }) => hop),
    (i) => ['via', i],
    'host',
  );
}

function loginProblems(route: RouteConfig): Problem[] {
  const hops = hopsOf(route);
  const users = hops.map(({ hop }) => userOf(parseVia(hop)));
  const ofRoute = wrongSecret(
    route,
    users.find((user) => user !== undefined),
  );
  if (ofRoute !== undefined) return [ofRoute];
  const isList = typeof route.via !== 'string';
  for (const [i, entry] of hops.entries()) {
    const found = hopProblem(route, entry, users[i]);
    // A route without a list has its options beside `via`.
    if (found !== undefined) return [{ ...found, path: ownPath(found.path, isList ? i : undefined) }];
  }
  if (route.ca !== undefined && route.tls !== 'verified' && users.every((user) => user === undefined))
    return [{ path: ['ca'], message: 'no certificate is checked on this route: set tls: verified' }];
  return [];
}

/** `via`, `password` and `oauth` of an entry; `tls` is of the route. */
function ownPath([name, ...rest]: PropertyKey[], entry: number | undefined): PropertyKey[] {
  if (entry === undefined || name === 'tls' || name === undefined) return name === undefined ? rest : [name, ...rest];
  return name === 'via' ? ['via', entry] : ['via', entry, name, ...rest];
}

/** A source is that of connections, of a family that is used. */
function sourceProblems(route: RouteConfig): Problem[] {
  const { source, source6, family } = route;
  const kind = parseVia(hopsOf(route)[0]?.hop ?? '')?.kind ?? 'mx';
  if (kind === 'maildir' || kind === 'capture' || kind === 'discard') {
    const name = (['source', 'source6', 'family', 'ehlo'] as const).find((option) => route[option] !== undefined);
    return name === undefined ? [] : [{ path: [name], message: `${kind} makes no connection: remove ${name}` }];
  }
  if (source !== undefined && family === 'ipv6')
    return [{ path: ['source'], message: 'is of IPv4, and family: ipv6 uses none: name source6, or remove one' }];
  if (source6 !== undefined && family === 'ipv4')
    return [{ path: ['source6'], message: 'is of IPv6, and family: ipv4 uses none: name source, or remove one' }];
  return [];
}

export type MissingSource = { path: string; address: string };

/** Addresses of routes that this machine does not have: they may come later, with a fail-over of addresses. */
export function missingSources({ routes }: Pick<Config, 'routes'>): MissingSource[] {
  const machine = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  const own = new Set(machine.map(({ address }) => parseIp(address)?.toString()));
  return routes.flatMap(({ source, source6 }, i) =>
    Object.entries({ source, source6 }).flatMap(([name, address]) =>
      address === undefined || own.has(parseIp(address)?.toString()) ? [] : [{ path: `routes[${i}].${name}`, address }],
    ),
  );
}

type Secrets = Pick<RouteHop, 'password' | 'oauth'>;

/** A password or token that stands where it has no use. */
function wrongSecret({ password, oauth }: Secrets, user: string | undefined): Problem | undefined {
  if (password !== undefined && user === undefined)
    return { path: ['password'], message: 'a password needs a user: via: smtp://user@host' };
  if (oauth === undefined) return undefined;
  const message =
    user === undefined
      ? 'a token needs a user, the mailbox that it is for: via: smtp://user@host'
      : password !== undefined
        ? 'there is a password too: keep one of them'
        : oauth['client-secret'] === undefined && oauth['refresh-token'] === undefined
          ? 'a token is given for a client-secret or a refresh-token: add one'
          : undefined;
  return message === undefined ? undefined : { path: ['oauth'], message };
}

/** What is wrong with a host of a route, and with what is said there. */
function hopProblem(route: RouteConfig, entry: RouteHop, user: string | undefined): Problem | undefined {
  const hop = parseVia(entry.hop);
  const own = wrongSecret(entry, user);
  if (own !== undefined) return own;
  const implicitTls = hop?.kind === 'smtp' && hop.implicitTls === true;
  if (implicitTls && route.tls === 'off')
    return { path: ['tls'], message: 'smtps:// is TLS from the first byte: remove tls: off, or write smtp://' };
  if (user === undefined) return undefined;
  const { password, oauth } = secretsOf(route, entry);
  if (password === undefined && oauth === undefined)
    return { path: ['via'], message: `user ${user} needs a password: add password: { file: … }` };
  const secret = password === undefined ? 'token' : 'password';
  const protects = route.tls === 'required' || route.tls === 'verified' || implicitTls || isLoopback(hop);
  return protects
    ? undefined
    : { path: ['tls'], message: `${route.tls} TLS could send the ${secret} in clear text: set tls: required` };
}

/** The log-in of an entry with a user: its own, else that of its route. */
export function secretsOf(route: Secrets, { password, oauth }: Secrets): Secrets {
  return password !== undefined || oauth !== undefined
    ? { password, oauth }
    : { password: route.password, oauth: route.oauth };
}

function userOf(hop: NextHopSpec | undefined): string | undefined {
  return hop?.kind === 'smtp' ? hop.user : undefined;
}

function isLoopback(hop: NextHopSpec | undefined): boolean {
  return hop?.kind === 'smtp' && (hop.host === '::1' || hop.host === 'localhost' || hop.host.startsWith('127.'));
}

/** Senders and users are compared without case. */
const sameCase = (name: string): string => name.normalize('NFC').toLowerCase();

export const ROUTE_RULES: readonly Rule[] = [
  {
    sections: ['routes'],
    check: ({ routes }) =>
      duplicates(
        routes.map(({ to, from, user }) =>
          [to, from && `from ${sameCase(from)}`, user && `of user ${sameCase(user)}`].filter(Boolean).join(' '),
        ),
        (i) => ['routes', i, 'to'],
        'route to',
      ),
  },
  { sections: ['routes'], check: routeProblems },
];
