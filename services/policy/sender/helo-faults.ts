import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Config } from '#cluster/config/schema/schema.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import { HostList } from '../relay/host-list.ts';

/** What can be wrong with the name in EHLO or HELO, as `checks.helo.refuse` calls it. */
export type HeloFault = Config['checks']['helo']['refuse'][number];

/** How long the addresses of this machine count. */
const FRESH_MS = 30_000;

/**
 * What is wrong with the names that clients give (RFC 5321 §4.1.1.1: a domain, or an address literal), by one
 * configuration. Ours are `node.hostname`, local domains, addresses of this machine and of its listeners, and
 * `checks.helo.own`, for an address that is translated on its way here.
 */
export class HeloFaults {
  readonly #refused: ReadonlySet<HeloFault>;
  readonly #names: ReadonlySet<string>;
  readonly #own: HostList;
  readonly #listening: readonly string[];
  #addresses: ReadonlySet<string> = new Set();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor({ node, domains, listeners, checks }: Pick<Config, 'node' | 'domains' | 'listeners' | 'checks'>) {
    this.#refused = new Set(checks.helo.refuse);
    this.#names = new Set([node.hostname, ...domains.filter((d) => d.local).map((d) => d.name)]);
    this.#own = new HostList(checks.helo.own);
    this.#listening = listeners.map(({ address }) => address);
  }

  /** Whether anything is refused. */
  get any(): boolean {
    return this.#refused.size > 0;
  }

  /** The first fault that is refused. */
  of(helo: string): HeloFault | undefined {
    return this.#faults(helo).find((fault) => this.#refused.has(fault));
  }

  #faults(helo: string): HeloFault[] {
    const literal = literalAddress(helo);
    const address = literal ?? (isIP(helo) === 0 ? undefined : helo);
    if (address !== undefined) {
      const own: HeloFault[] = this.#isOurs(address) ? ['own-name'] : [];
      return literal === undefined ? [...own, 'bare-address'] : own;
    }
    const name = normalizeDomain(helo);
    if (!isHostName(name)) return ['syntax'];
    if (this.#names.has(name) || this.#own.match(undefined, name) !== undefined) return ['own-name'];
    return name.includes('.') ? [] : ['not-fqdn'];
  }

  #isOurs(text: string): boolean {
    const address = parseIp(text);
    if (address === undefined) return false;
    return this.#machine().has(address.toString()) || this.#own.match(address, null) !== undefined;
  }

  /** The addresses of this machine now. */
  #machine(): ReadonlySet<string> {
    const now = performance.now();
    if (now - this.#readAt > FRESH_MS) {
      const interfaces = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
      const all = [...interfaces.map(({ address }) => address), ...this.#listening];
      this.#addresses = new Set(all.flatMap((address) => parseIp(address)?.toString() ?? []));
      this.#readAt = now;
    }
    return this.#addresses;
  }
}

/** The address in a literal: `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3). */
function literalAddress(helo: string): string | undefined {
  const [, six, four] = /^\[(?:ipv6:([0-9a-f:.]+)|([0-9.]+))\]$/i.exec(helo) ?? [];
  if (six !== undefined) return isIP(six) === 6 ? six : undefined;
  return four !== undefined && isIP(four) === 4 ? four : undefined;
}

/** Labels of letters, digits and inner hyphens (RFC 5321 §4.1.2), and of underscores, which names of real hosts have. */
function isHostName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label));
}
