import { Resolver } from 'node:dns/promises';
import { normalizeDomain } from '#shared/address/address.ts';
import { type IpAddress, parseIp } from '#shared/address/ip-address.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { pointerLabels } from '../dns/pointer-labels.ts';

/** The name of a client; null: it has none that leads back to it; undefined: DNS did not answer, or not in time. */
export type ClientName = string | null | undefined;

type Answer = { name: ClientName; expires: number };

/** A greeting must not wait for DNS longer than this. */
const MAX_WAIT_MS = 2000;
/** Clients whose names are remembered. */
const MAX_ENTRIES = 10_000;
/** An address may have hundreds of PTR records; only so many are followed. */
const MAX_NAMES = 5;
const MIN_TTL_MS = 60_000;
const MAX_TTL_MS = 3_600_000;
/** How long the answer that there is no name is kept, and that DNS was in trouble. */
const NEGATIVE_TTL_MS = 300_000;
const TROUBLE_TTL_MS = 30_000;

/**
 * Names of clients by forward-confirmed reverse DNS: a PTR name counts only if it leads back to the address
 * (DOMINO R4), because the owner of the address writes its PTR record.
 *
 * An address is: unknown → asked (look-ups meanwhile share the one query) → known until it expires → unknown. The least
 * recently learned address makes room for a new one.
 */
export class ReverseDns {
  readonly #resolver: Resolver;
  readonly #waitMs: number;
  readonly #log: Logger;
  readonly #known = new BoundedMap<string, Answer>(MAX_ENTRIES);
  readonly #asked = new Map<string, Promise<ClientName>>();

  /** `servers`: address or address:port, empty for the system's. `timeout` in ms; never waits longer than 2 s. */
  constructor(dns: { servers: readonly string[]; timeout: number }, log: Logger) {
    this.#waitMs = Math.min(dns.timeout, MAX_WAIT_MS);
    this.#resolver = new Resolver({ timeout: Math.max(1, Math.floor(this.#waitMs / 2)), tries: 2 });
    if (dns.servers.length > 0) this.#resolver.setServers(dns.servers);
    this.#log = log;
  }

  /** The client's name, without a promise when it is known. Never fails. */
  lookup(clientAddress: string): ClientName | Promise<ClientName> {
    const parsed = parseIp(clientAddress);
    if (parsed === undefined) return null;
    if (parsed.range() === 'loopback') return 'localhost';
    const address = parsed.toString();
    const known = this.#known.get(address);
    if (known !== undefined && known.expires > performance.now()) return known.name;
    const asked = this.#asked.get(address) ?? this.#ask(address, parsed);
    this.#asked.set(address, asked);
    return asked;
  }

  /** Give up what is under way: its callers get undefined. */
  close(): void {
    this.#resolver.cancel();
  }

  async #ask(address: string, parsed: IpAddress): Promise<ClientName> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Answer>((resolve) => {
      timer = setTimeout(() => resolve(expiring(undefined, TROUBLE_TTL_MS)), this.#waitMs);
    });
    const answer = await Promise.race([this.#resolve(address, parsed), late]);
    clearTimeout(timer);
    this.#asked.delete(address);
    this.#known.set(address, answer);
    return answer.name;
  }

  /** Follow the PTR names until one leads back. Never fails. */
  async #resolve(address: string, parsed: IpAddress): Promise<Answer> {
    try {
      // Not `reverse`, which says that there is no name also when DNS is in trouble.
      const pointers = await this.#resolver.resolvePtr(pointerName(parsed));
      const names = pointers.slice(0, MAX_NAMES).map(normalizeDomain).filter(isHostName);
      const answers = await Promise.allSettled(names.map((name) => this.#confirm(name, address, parsed.kind())));
      for (const answer of answers)
        if (answer.status === 'fulfilled' && answer.value !== undefined) return answer.value;
      const trouble = answers.find((a) => a.status === 'rejected' && !isNegative(a.reason));
      return trouble === undefined ? expiring(null, NEGATIVE_TTL_MS) : expiring(undefined, TROUBLE_TTL_MS);
    } catch (error) {
      if (isNegative(error)) return expiring(null, NEGATIVE_TTL_MS);
      this.#log.debug({ peer: address, error: errorText(error) }, 'reverse DNS failed; the client goes without a name');
      return expiring(undefined, TROUBLE_TTL_MS);
    }
  }

  /** The name with its time to live, when one of its addresses is the client's. */
  async #confirm(name: string, address: string, kind: 'ipv4' | 'ipv6'): Promise<Answer | undefined> {
    const records =
      kind === 'ipv4'
        ? await this.#resolver.resolve4(name, { ttl: true })
        : await this.#resolver.resolve6(name, { ttl: true });
    const record = records.find((r) => parseIp(r.address)?.toString() === address);
    return record && expiring(name, Math.min(Math.max(record.ttl * 1000, MIN_TTL_MS), MAX_TTL_MS));
  }
}

function expiring(name: ClientName, ttlMs: number): Answer {
  return { name, expires: performance.now() + ttlMs };
}

/** The name that has the PTR records of an address. */
function pointerName(address: IpAddress): string {
  return `${pointerLabels(address)}.${address.kind() === 'ipv4' ? 'in-addr' : 'ip6'}.arpa`;
}

/** DNS answered that there is nothing, as opposed to not answering. */
function isNegative(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOTFOUND' || code === 'ENODATA';
}

/** Whether a name from DNS may stand in a header, a log line and a comparison. */
function isHostName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(name);
}
