import { type Hop, parseHop } from '../next-hop.ts';

/** Transports as transport(5) writes them: `smtp:[host]`, `lmtp:inet:host:port`, `discard:`. */

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
