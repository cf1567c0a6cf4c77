import { lookup } from 'node:dns/promises';
import type { Config } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { type DnsAnswer, DnsResolver, type ResolverSettings } from '#shared/dns/resolver.ts';
import { errorCode } from '#shared/errors.ts';

/**
 * The DNS as delivery needs it. Every function resolves to an empty list when the name or the record does not exist,
 * and rejects when no name server could tell: by DNS alone with `DnsTrouble`.
 */
export type Resolver = {
  /** MX records; `exists: false`: no such domain at all (NXDOMAIN). */
  mx(domain: string): Promise<{
    exists: boolean;
    records: readonly { exchange: string; priority: number }[];
    authenticated: boolean;
  }>;
  /** Addresses of a host by DNS alone. */
  addresses(host: string): Promise<Addresses>;
  /** Addresses of a host as this machine knows it: its hosts file, its container network, DNS. */
  machine(host: string): Promise<Addresses>;
  /** Other records. */
  ask<T extends 'CNAME' | 'NS' | 'TLSA' | 'TXT'>(name: string, type: T): Promise<Told<DnsAnswer<T>>>;
  /** Give up what is under way. */
  close?(): void;
};

/**
 * IPv6 and IPv4 in turns, IPv6 first, and for how many seconds they hold. `authenticated`, here and with other records: the
 * resolver says that DNSSEC proves all of them.
 */
export type Addresses = { addresses: string[]; ttl: number; authenticated: boolean };

/** `ofDomain`: its own name servers fail, as a resolver says that works; otherwise the trouble is this node's. */
export class DnsTrouble extends Error {
  readonly ofDomain: boolean;

  constructor(text: string, ofDomain: boolean) {
    super(text);
    this.name = 'DnsTrouble';
    this.ofDomain = ofDomain;
  }
}

/** Seconds that an answer is used for at most, and where it carries no TTL: a corrected zone is seen soon. */
const LONGEST_TTL_S = 60;
/** A resolver that finds some servers of a domain silent needs longer than one that finds them all well. */
const PATIENCE = 2;

/** Look-ups at a time, of at most two questions each: `DnsResolver` does not take more. Others wait for their turn. */
const MOST_LOOKUPS = 240;

const MISSING = new Set(['ENOTFOUND', 'ENODATA', 'NOTFOUND', 'NODATA', 'EAI_NONAME', 'EAI_NODATA']);

/** A resolver that asks `dns.servers`; it follows a change of these. */
export function createResolver(settings: Settings): Resolver {
  const dns = new DnsResolver(patient(settings.current));
  const unsubscribe = settings.onChange((next) => dns.configure(patient(next)));
  const turns = new Turns(MOST_LOOKUPS);
  const addresses = (host: string) => turns.take(() => addressesByDns(dns, host));
  return {
    mx: async (domain) => {
      const answer = told(await turns.take(async () => await dns.lookup(domain, 'MX')));
      const { authenticated } = answer;
      return answer.kind === 'found'
        ? { exists: true, records: answer.records, authenticated }
        : { exists: answer.exists, records: [], authenticated };
    },
    addresses,
    ask: async (name, type) => told(await turns.take(async () => await dns.lookup(name, type))),
    machine: async (host) => {
      // A name of one label is of the hosts file or of the network of a container, and nothing that the root knows.
      if (settings.current.dns.servers.length > 0 && host.includes('.')) {
        const found = await addresses(host);
        if (found.addresses.length > 0) return found;
      }
      return await addressesByMachine(host);
    },
    close: () => {
      unsubscribe();
      dns.close();
    },
  };
}

function patient({ dns: { servers, timeout } }: Config): ResolverSettings {
  return { servers, timeout: timeout * PATIENCE, longest: LONGEST_TTL_S * 1000 };
}

export type Told<A extends DnsAnswer> = Exclude<A, { kind: 'trouble' }>;

function told<A extends DnsAnswer>(answer: A): Told<A> {
  if (answer.kind === 'trouble') throw new DnsTrouble(answer.error, answer.cause === 'failed');
  return answer as Told<A>;
}

async function addressesByDns(dns: DnsResolver, host: string): Promise<Addresses> {
  const answers = await Promise.all([dns.lookup(host, 'AAAA'), dns.lookup(host, 'A')]);
  const [six = [], four = []] = answers.map((answer) => (answer.kind === 'found' ? answer.records : []));
  // With addresses of one family mail can be delivered, whatever is wrong with the other.
  if (six.length === 0 && four.length === 0) answers.forEach(told);
  const left = answers.map(({ kind, expires }) =>
    kind === 'found' ? (expires - performance.now()) / 1000 : LONGEST_TTL_S,
  );
  // What is said of the one family proves nothing of the addresses of the other.
  const authenticated = answers.every((answer) => answer.kind !== 'found' || answer.authenticated);
  return { addresses: inTurns(six, four), ttl: Math.max(0, Math.min(LONGEST_TTL_S, ...left)), authenticated };
}

/**
 * By the system and not by `DnsResolver`, because what a route names may be in the hosts file, or known to the network of
 * a container alone.
 */
async function addressesByMachine(host: string): Promise<Addresses> {
  try {
    const found = await lookup(host, { all: true });
    const of = (wanted: number) => found.filter(({ family }) => family === wanted).map(({ address }) => address);
    return { addresses: inTurns(of(6), of(4)), ttl: LONGEST_TTL_S, authenticated: false };
  } catch (error) {
    if (MISSING.has(errorCode(error) ?? '')) return { addresses: [], ttl: LONGEST_TTL_S, authenticated: false };
    throw error;
  }
}

/** a0 b0 a1 b1 …: a long list of one family does not hide the other (RFC 8305 §4). */
function inTurns<T>(a: readonly T[], b: readonly T[]): T[] {
  const out: T[] = [];
  for (let i = 0; i < Math.max(a.length, b.length); i++) out.push(...a.slice(i, i + 1), ...b.slice(i, i + 1));
  return out;
}

/** So many at a time, the others in their order. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
