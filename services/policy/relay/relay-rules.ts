import type { Config } from '#cluster/config/schema/schema.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import { DomainList, HostList } from './host-list.ts';

/** The client, as far as relay rules look. `user` once authenticated. */
export type RelayClient = {
  client: { address: string; name: string | null };
  user?: string | undefined;
  /** It is the gateway of a container network. What allows it must name its address alone. */
  gateway?: boolean | undefined;
};

/**
 * The relay rules of one configuration, arranged for look-up (DOMINO R1, R2, R6).
 *
 * Closed: what nothing allows is refused. An entry of a deny list wins over every entry of the allow lists. `*` in a
 * deny list denies whatever no entry of an allow list names, so it takes back a `*` of an allow list only. An
 * authenticated user may relay whatever the lists say.
 */
export class RelayRules {
  readonly #allowHosts: HostList;
  readonly #denyHosts: HostList;
  readonly #allowDomains: DomainList;
  readonly #denyDomains: DomainList;
  /** Exact names: a subdomain of a local domain is not local unless it is named too. */
  readonly #local: ReadonlySet<string>;
  readonly firstLocal: string | undefined;

  constructor({ relay, domains }: Pick<Config, 'relay' | 'domains'>) {
    this.#allowHosts = new HostList(relay.allow.hosts);
    this.#denyHosts = new HostList(relay.deny.hosts);
    this.#allowDomains = new DomainList(relay.allow.domains);
    this.#denyDomains = new DomainList(relay.deny.domains);
    const local = domains.filter((d) => d.local).map((d) => d.name);
    this.#local = new Set(local);
    this.firstLocal = local[0];
  }

  isLocal(domain: string): boolean {
    return this.#local.has(domain);
  }

  /**
   * The entry of relay.allow.hosts that names this client, unless relay.deny.hosts names it too. Such a host is
   * trusted: it is internal, and its mail originates at this server. `*` trusts nobody: it only opens the relay.
   */
  trustedHost({ client, gateway }: RelayClient): string | undefined {
    const address = parseIp(client.address);
    const allowed = gateway ? this.#allowHosts.single(address) : this.#allowHosts.match(address, client.name);
    return allowed === undefined || this.#denyHosts.match(address, client.name) !== undefined ? undefined : allowed;
  }

  /** Whether a client may send to a domain (normalized) that is not local. `why` gets the steps in the order of R6. */
  mayRelay({ client, user, gateway }: RelayClient, domain: string, why: string[]): boolean {
    if (user !== undefined) {
      why.push(`user ${user} is authenticated: may relay`);
      return true;
    }
    const address = parseIp(client.address);
    const deniedHost = this.#denyHosts.match(address, client.name);
    if (deniedHost !== undefined) return refuse(why, `client is in relay.deny.hosts (${deniedHost})`);
    const deniedDomain = this.#denyDomains.match(domain);
    if (deniedDomain !== undefined) return refuse(why, `domain ${domain} is in relay.deny.domains (${deniedDomain})`);
    const host = gateway ? this.#allowHosts.single(address) : this.#allowHosts.match(address, client.name);
    if (gateway) why.push('client is the gateway of a container network: only its own address in a list names it');
    return this.#allowed(host, domain, why);
  }

  /** Whether a client that these rules refuse might be allowed by its name, which DNS did not give. */
  nameCouldAllow({ client, gateway }: RelayClient, domain: string): boolean {
    if (gateway) return false;
    const denied = this.#denyHosts.match(parseIp(client.address), null) ?? this.#denyDomains.match(domain);
    return this.#allowHosts.named && denied === undefined;
  }

  /** `host`: the entry of relay.allow.hosts that names the client. */
  #allowed(host: string | undefined, domain: string, why: string[]): boolean {
    if (host !== undefined) return accept(why, `client is in relay.allow.hosts (${host})`);
    why.push('client is not in relay.allow.hosts');
    const target = this.#allowDomains.match(domain);
    if (target !== undefined) return accept(why, `domain ${domain} is in relay.allow.domains (${target})`);
    why.push(`domain ${domain} is not in relay.allow.domains`);
    if (this.#denyHosts.any) return refuse(why, 'relay.deny.hosts has *');
    if (this.#denyDomains.any) return refuse(why, 'relay.deny.domains has *');
    if (this.#allowHosts.any) return accept(why, 'relay.allow.hosts has *');
    if (this.#allowDomains.any) return accept(why, 'relay.allow.domains has *');
    return refuse(why, 'nothing allows it');
  }
}

function accept(why: string[], step: string): true {
  why.push(`${step}: may relay`);
  return true;
}

function refuse(why: string[], step: string): false {
  why.push(`${step}: relay refused`);
  return false;
}
