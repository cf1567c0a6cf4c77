import { Resolver as DnsResolver, lookup } from 'node:dns/promises';
import type { Settings } from '#cluster/config/settings.ts';
import { errorCode } from '#shared/errors.ts';

/**
 * The DNS as delivery needs it. Every function resolves to an empty list when the name or the record does not exist,
 * and rejects when no name server could tell (SERVFAIL, time-out, refused).
 */
export type Resolver = {
  /** MX records; `exists: false`: no such domain at all (NXDOMAIN). */
  mx(domain: string): Promise<{ exists: boolean; records: { exchange: string; priority: number }[] }>;
  /** Addresses of a host by DNS alone, and for how many seconds they hold. IPv6 and IPv4 take turns, IPv6 first. */
  addresses(host: string): Promise<{ addresses: string[]; ttl: number }>;
  /** Addresses of a host as this machine knows it: its hosts file, its container network, DNS. */
  machine(host: string): Promise<{ addresses: string[]; ttl: number }>;
};

/** Seconds that an answer is used for when it carries no TTL. */
const DEFAULT_TTL_S = 60;

/** The name servers of a domain fail. */
export const SERVER_FAILURE = 'ESERVFAIL';

const MISSING = new Set(['ENOTFOUND', 'ENODATA', 'NOTFOUND', 'NODATA', 'EAI_NONAME', 'EAI_NODATA']);

function isMissing(error: unknown): boolean {
  return MISSING.has(errorCode(error) ?? '');
}

/** A resolver that asks `dns.servers`; it follows a change of these. */
export function createResolver(settings: Settings): Resolver {
  let resolver = dnsResolver(settings);
  settings.onChange((next, previous) => {
    if (next.dns !== previous.dns) resolver = dnsResolver(settings);
  });

  const addresses = (host: string) => addressesByDns(resolver, host);

  return {
    mx: async (domain) => {
      try {
        return { exists: true, records: await resolver.resolveMx(domain) };
      } catch (error) {
        if (isMissing(error)) return { exists: errorCode(error) !== 'ENOTFOUND', records: [] };
        throw error;
      }
    },
    addresses,
    machine: async (host) => {
      if (settings.current.dns.servers.length > 0) {
        const found = await addresses(host);
        if (found.addresses.length > 0) return found;
      }
      try {
        const found = await lookup(host, { all: true });
        const of = (family: number) => found.filter((entry) => entry.family === family);
        return { addresses: inTurns(of(6), of(4)).map(({ address }) => address), ttl: DEFAULT_TTL_S };
      } catch (error) {
        if (isMissing(error)) return { addresses: [], ttl: DEFAULT_TTL_S };
        throw error;
      }
    },
  };
}

/** The addresses of a host, IPv6 and IPv4 in turns. */
async function addressesByDns(resolver: DnsResolver, host: string): Promise<{ addresses: string[]; ttl: number }> {
  const [six, four] = await Promise.allSettled([
    resolver.resolve6(host, { ttl: true }),
    resolver.resolve4(host, { ttl: true }),
  ]);
  const found6 = six.status === 'fulfilled' ? six.value : [];
  const found4 = four.status === 'fulfilled' ? four.value : [];
  if (found6.length === 0 && found4.length === 0) {
    for (const answer of [six, four]) {
      if (answer.status === 'rejected' && !isMissing(answer.reason)) throw answer.reason;
    }
    // Some name servers answer a loop with its aliases alone, which looks like a name without addresses.
    if (await isAliasLoop(resolver, host)) {
      const text = `${host} is an alias that leads back to itself (CNAME loop)`;
      throw Object.assign(new Error(text), { code: SERVER_FAILURE });
    }
  }
  return {
    addresses: inTurns(found6, found4).map(({ address }) => address),
    ttl: Math.min(DEFAULT_TTL_S, ...[...found6, ...found4].map(({ ttl }) => ttl)),
  };
}

function dnsResolver(settings: Settings): DnsResolver {
  const { servers, timeout } = settings.current.dns;
  const resolver = new DnsResolver({ timeout, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);
  return resolver;
}

/** Aliases followed. */
const MOST_ALIASES = 16;

/** Whether the aliases of a name come back to one of them: the fault of its zone, which passes like a server failure. */
async function isAliasLoop(resolver: DnsResolver, host: string): Promise<boolean> {
  const seen = new Set<string>();
  for (let name = host.toLowerCase(); seen.size < MOST_ALIASES; ) {
    if (seen.has(name)) return true;
    seen.add(name);
    const [target] = await resolver.resolveCname(name).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    if (target === undefined) return false;
    name = target.toLowerCase();
  }
  return true;
}

/** a0 b0 a1 b1 …: a long list of one family does not hide the other (RFC 8305 §4). */
function inTurns<T>(a: readonly T[], b: readonly T[]): T[] {
  const out: T[] = [];
  for (let i = 0; i < Math.max(a.length, b.length); i++) out.push(...a.slice(i, i + 1), ...b.slice(i, i + 1));
  return out;
}
