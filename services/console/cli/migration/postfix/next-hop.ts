import { isIP } from 'node:net';
import { domainEntry } from './networks.ts';

/** Next hops as transport(5) and relayhost write them: `[host]:port`, `host`, `smtp:[host]`, `lmtp:inet:host:port`. */

/** `lookup`: Postfix asks for the MX records of the name, as it has no brackets. */
export type Hop = { scheme: 'smtp' | 'lmtp'; host: string; port: number | undefined; lookup: boolean };

/** What a transport is: a hop, a word, or why it is none. */
export type Transport = { hop: Hop } | { via: 'mx' | 'discard' } | { why: string };

export function parseTransport(text: string): Transport {
  const [, transport = '', rest = ''] = /^([\w-]*):?(.*)$/s.exec(text.trim()) ?? [];
  switch (transport) {
    case '':
    case 'smtp':
    case 'relay':
    case 'esmtp': {
      if (rest === '') return { via: 'mx' };
      const hop = parseHop(rest);
      return hop === undefined ? { why: `"${rest}" is not a host` } : { hop };
    }
    case 'lmtp': {
      if (/^unix:|^\//.test(rest))
        return {
          why: 'LMTP over a socket file is not spoken here: let the server listen at 127.0.0.1, and route to lmtp://127.0.0.1:24',
        };
      const hop = parseHop(rest.replace(/^inet:/, ''));
      return hop === undefined
        ? { why: `"${rest}" is not a host` }
        : { hop: { ...hop, scheme: 'lmtp', lookup: false } };
    }
    case 'discard':
      return { via: 'discard' };
    case 'error':
    case 'retry':
      return { why: 'no mail is refused by its route: a domain that is not listed is not relayed' };
    case 'local':
    case 'virtual':
      return {
        why: 'there are no mailboxes of this machine here: route to a server that has them, or to maildir:<folder>',
      };
    default:
      return { why: `the transport ${transport} of master.cf has no counterpart` };
  }
}

/** `[host]:port`, `host:port`, `host`; undefined where it is none. */
export function parseHop(text: string): Hop | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([\w-]+))?$/.exec(text.trim()) ?? [];
  const host = (bracketed ?? plain ?? '').replace(/^ipv6:/i, '');
  const number = port === undefined ? undefined : (SERVICES[port] ?? Number(port));
  // `1` is a network in a list of clients, and no host.
  if (isIP(host) === 0 && domainEntry(host) === undefined) return undefined;
  if (number !== undefined && !(Number.isInteger(number) && number > 0 && number < 65_536)) return undefined;
  return { scheme: 'smtp', host, port: number, lookup: bracketed === undefined && isIP(host) === 0 };
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
