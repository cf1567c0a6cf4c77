import { isIP } from 'node:net';

/** Where a mail filter listens. */

/** A host and a port, or the path of a Unix socket. */
export type FilterAddress = { host: string; port: number } | { path: string };

/** `http://HOST:PORT`, `tcp://HOST:PORT`, `unix:/PATH`; undefined for anything else. */
export function parseFilterUrl(url: string): { scheme: 'http' | 'tcp' | 'unix'; address: FilterAddress } | undefined {
  const path = /^unix:(\/[^\0]{1,100})$/.exec(url)?.[1];
  if (path !== undefined) return { scheme: 'unix', address: { path } };
  const [, scheme, six, name, digits] =
    /^(http|tcp):\/\/(?:\[([^\]]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})\/?$/.exec(url) ?? [];
  const port = Number(digits);
  const host = six ?? name;
  if (host === undefined || (six !== undefined && isIP(six) !== 6) || !(port >= 1 && port <= 65_535)) return undefined;
  return { scheme: scheme === 'http' ? 'http' : 'tcp', address: { host, port } };
}

/** What the URL of each type begins with, and an example of it. */
export const FILTER_URLS = {
  rspamd: { schemes: ['http'], example: 'http://127.0.0.1:11333' },
  clamd: { schemes: ['tcp', 'unix'], example: 'unix:/run/clamav/clamd.ctl' },
  milter: { schemes: ['tcp', 'unix'], example: 'tcp://127.0.0.1:8891' },
} as const satisfies Record<string, { schemes: readonly string[]; example: string }>;
