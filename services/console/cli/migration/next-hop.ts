import { isIP } from 'node:net';
import { parseVia } from '#cluster/config/schema/route.ts';
import { domainEntry } from './entries.ts';

/** Next hops as other mail servers write them: `[host]:port`, `host:port`, `host`. */

/** `lookup`: the name has no brackets, for which Postfix asks for MX records. */
export type Hop = { scheme: 'smtp' | 'lmtp'; host: string; port: number | undefined; lookup: boolean };

/** `[host]:port`, `host:port`, `host`; undefined where it is none. */
export function parseHop(text: string): Hop | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([\w-]+))?$/.exec(text.trim()) ?? [];
  const host = (bracketed ?? plain ?? '').replace(/^ipv6:/i, '');
  const number = port === undefined ? undefined : (SERVICES[port] ?? Number(port));
  // `1` is a network in a list of clients, and no host.
  if (isIP(host) === 0 && domainEntry(host) === undefined) return undefined;
  if (number !== undefined && !(Number.isInteger(number) && number > 0 && number < 65_536)) return undefined;
  const hop: Hop = { scheme: 'smtp', host, port: number, lookup: bracketed === undefined && isIP(host) === 0 };
  return parseVia(viaOf(hop)) === undefined ? undefined : hop;
}

const SERVICES: Readonly<Record<string, number>> = {
  smtp: 25,
  submission: 587,
  submissions: 465,
  smtps: 465,
  lmtp: 24,
};

/** As `via` of a route; `user` stands in front of the host. */
export function viaOf(
  { scheme, host, port }: Hop,
  { user, wrapper = false }: { user?: string; wrapper?: boolean } = {},
): string {
  const name = isIP(host) === 6 ? `[${host}]` : host;
  const login = user === undefined ? '' : `${encodeURIComponent(user).replaceAll('%40', '@')}@`;
  return `${wrapper && scheme === 'smtp' ? 'smtps' : scheme}://${login}${name}${port === undefined ? '' : `:${port}`}`;
}
