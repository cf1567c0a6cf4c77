import { isIP } from 'node:net';
import { normalizeDomain } from '#shared/address/address.ts';
import type { Secret } from '#shared/secret.ts';
import { suggest } from '../problems/suggest.ts';
import type { RouteOauth } from './oauth.ts';

/**
 * Where a route leads, parsed from its `via`. `host` is a name or an address without brackets. The router makes of it a
 * next hop with its password (`NextHop` in services/router/delivery/job.ts, made in queue/routing.ts).
 */
export type NextHopSpec =
  | { kind: 'mx' }
  | { kind: 'smtp'; host: string; port: number; implicitTls?: true; user?: string }
  | { kind: 'lmtp'; host: string; port: number }
  | { kind: 'maildir'; folder: string }
  | { kind: 'capture' }
  | { kind: 'discard' };

/** A place in the `via` of a route, in its long form. */
export type RouteHop = {
  hop: string;
  weight?: number | undefined;
  password?: Secret | undefined;
  oauth?: RouteOauth | undefined;
};

/** What `via` of a route lists, the best first; a route without a list has one. */
export function hopsOf({ via }: { via: string | readonly (string | RouteHop)[] }): RouteHop[] {
  return (typeof via === 'string' ? [via] : via).map((entry) => (typeof entry === 'string' ? { hop: entry } : entry));
}

const VIA_SCHEMES = ['smtp', 'smtps', 'lmtp', 'maildir'];
/** RFC 5321 §4.5.4.2, RFC 8314 §3.3; LMTP has no port of its own. */
const PORTS: Record<string, number> = { smtp: 25, smtps: 465, lmtp: 24 };
const VIA_WORDS = ['mx', 'capture', 'discard'];

/**
 * Parse `mx | smtp://[user@]host[:port] | smtps://[user@]host[:port] | lmtp://host[:port] | maildir:<folder> | capture |
 * discard`. `smtps` is TLS from the first byte. An IPv6 host stands in brackets. Default ports: 25 for smtp, 465 for
 * smtps, 24 for lmtp. A user name may hold `@` (the last one ends it) and percent escapes. Undefined when the text is
 * none of these.
 */
export function parseVia(text: string): NextHopSpec | undefined {
  if (text === 'mx' || text === 'capture' || text === 'discard') return { kind: text };
  if (text.startsWith('maildir:')) {
    const folder = text.slice('maildir:'.length);
    return folder.trim() === '' || folder.startsWith('//') ? undefined : { kind: 'maildir', folder };
  }
  const match = /^(smtps?|lmtp):\/\/(?:(.*)@)?(\[[^\]]*\]|[^:@/[\]]+)(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const [, scheme = '', userText, hostText = '', portText] = match;
  const host = parseHost(hostText);
  const port = portText === undefined ? PORTS[scheme] : Number(portText);
  if (host === undefined || port === undefined || port < 1 || port > 65_535) return undefined;
  if (scheme === 'lmtp') return userText === undefined ? { kind: 'lmtp', host, port } : undefined;
  const hop: NextHopSpec = { kind: 'smtp', host, port, ...(scheme === 'smtps' && { implicitTls: true }) };
  if (userText === undefined) return hop;
  const user = decode(userText);
  return user === undefined ? undefined : { ...hop, user };
}

/** Whether this is a host without a user, or mx: what operators may send mail to that has a route with secrets. */
export function isPlainVia(text: string): boolean {
  const hop = parseVia(text);
  return hop?.kind === 'mx' || hop?.kind === 'lmtp' || (hop?.kind === 'smtp' && hop.user === undefined);
}

/** What is wrong with a text that `parseVia` refuses. Never repeats what stands before an @: a password may be there. */
export function explainVia(via: string): string {
  const forms = 'mx, smtp[s]://[user@]host[:port], lmtp://host[:port], maildir:<folder>, capture or discard';
  const shown = via.replace(/\/\/.*@/, '//…@');
  if (/\/\/[^@]*:.*@/.test(via)) return `"${shown}": the password does not belong here: use password: { file: … }`;
  const scheme = /^([a-z0-9+.-]+):/i.exec(via)?.[1];
  if (scheme !== undefined && !VIA_SCHEMES.includes(scheme)) {
    const meant = suggest(scheme, VIA_SCHEMES);
    return `"${shown}" has the unknown scheme "${scheme}"${meant === undefined ? '' : ` (did you mean ${meant}?)`}: write ${forms}`;
  }
  const meant = suggest(via, VIA_WORDS);
  return `"${shown}" is not a way to deliver${meant === undefined ? '' : ` (did you mean ${meant}?)`}: write ${forms}`;
}

function parseHost(text: string): string | undefined {
  if (text.startsWith('[')) {
    const address = text.slice(1, -1);
    return isIP(address) === 6 ? address.toLowerCase() : undefined;
  }
  // A name of digits and dots alone is a mistyped address, never a host (RFC 1123 §2.1).
  if (/^[\d.]+$/.test(text)) return isIP(text) === 4 ? text : undefined;
  const name = normalizeDomain(text);
  return /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?$/.test(name) &&
    name.length <= 253
    ? name
    : undefined;
}

function decode(user: string): string | undefined {
  try {
    const text = decodeURIComponent(user);
    return /^[^\x00-\x1f\x7f]+$/.test(text) && !user.includes(':') ? text : undefined;
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
