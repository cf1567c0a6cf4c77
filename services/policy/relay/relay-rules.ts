import type { Config } from '#cluster/config/schema/schema.ts';
import { nearest } from '#shared/address/domains.ts';
import { parseIp } from '#shared/address/ip-address.ts';
import type { ClientCertificate } from '#shared/mail/tls.ts';
import { CertificateList } from './certificate-list.ts';
import { DomainList, HostList, namedBy } from './host-list.ts';

/** The client, as far as relay rules look. `user` once authenticated. */
export type RelayClient = {
  client: { address: string; name: string | null };
  user?: string | undefined;
  /** Others come in through its address (services/listener/gateways.ts). What allows it must name that address alone. */
  gateway?: boolean | undefined;
  /** With a certificate, if it has one. Who comes through a gateway has one of its own. */
  tls?: { certificate?: ClientCertificate | undefined } | undefined;
};

/**
 * The relay rules of one configuration, arranged for look-up (DOMINO R1-R6).
 *
 * Whom they hold for comes first: nobody (`scope: none`), not internal hosts (`scope: external`), not excluded hosts, not
 * authenticated users (unless `authenticated: checked`).
 *
 * For all others four lists decide, in this order (`precedence: allow` swaps 1 with 2, and 3 with 4):
 *
 * 1. an entry of a deny list that names the client or the domain: refused
 * 2. an entry of an allow list that does: allowed
 * 3. `*` in a deny list: refused
 * 4. `*` in an allow list: allowed
 * 5. refused: what nothing allows is closed
 *
 * So an allow list that is set denies everything else (R2). In Domino a deny list that is set allows everything else; here
 * that is written: `*` in the allow list beside it. `*` names nobody, it stands for everything else.
 */
export class RelayRules {
  readonly #relay: Config['relay'];
  readonly #internal: HostList;
  readonly #exclude: HostList;
  readonly #allowHosts: HostList;
  readonly #denyHosts: HostList;
  readonly #allowCertificates: CertificateList;
  readonly #allowDomains: DomainList;
  readonly #denyDomains: DomainList;
  /** Exact names: a subdomain of a local domain is not local unless it is named too. */
  readonly #local: ReadonlySet<string>;
  readonly firstLocal: string | undefined;

  constructor({ relay, domains, rewrite }: Pick<Config, 'relay' | 'domains' | 'rewrite'>) {
    this.#relay = relay;
    this.#internal = new HostList(relay.internal.hosts);
    this.#exclude = new HostList(relay.exclude);
    this.#allowHosts = new HostList(relay.allow.hosts);
    this.#denyHosts = new HostList(relay.deny.hosts);
    this.#allowCertificates = new CertificateList(relay.allow.certificates);
    this.#allowDomains = new DomainList(relay.allow.domains);
    this.#denyDomains = new DomainList(relay.deny.domains);
    const local = domains.filter((d) => d.local).map((d) => d.name);
    this.#local = new Set([...local, ...Object.keys(rewrite['domain-aliases'])]);
    this.firstLocal = local[0];
  }

  isLocal(domain: string): boolean {
    return this.#local.has(domain);
  }

  /** What makes the client internal, as words: an entry of relay.internal, or a confirmed name in a local domain (R4). */
  internalHost(client: RelayClient): string | undefined {
    const entry = namedBy(this.#internal, client);
    if (entry !== undefined) return `relay.internal.hosts (${entry})`;
    const { name } = client.client;
    if (!this.#relay.internal.names || name === null || client.gateway) return undefined;
    const domain = nearest(name, (parent) => (this.#local.has(parent) ? parent : undefined));
    return domain && `the local domain ${domain}, by its name ${name}`;
  }

  /**
   * What names this client, as words, as one that may relay anywhere: an excluded host, an internal one where these rules
   * hold for external hosts only, or one of relay.allow.hosts or relay.allow.certificates that no deny list takes back. Such
   * a host is trusted: its mail originates at this server. `*` and `scope: none` trust nobody: they only open the relay.
   */
  trustedHost(client: RelayClient): string | undefined {
    const internal = this.#relay.scope === 'external' ? this.internalHost(client) : undefined;
    if (internal !== undefined) return internal;
    const excluded = namedBy(this.#exclude, client);
    if (excluded !== undefined) return `relay.exclude (${excluded})`;
    const allowed = this.#allowedHost(client) ?? this.#allowedCertificate(client);
    return allowed === undefined || this.#isTakenBack(client) ? undefined : allowed;
  }

  /** As `trustedHost`, by its certificate, which is known only once TLS is up. */
  trustedCertificate(client: RelayClient): string | undefined {
    const allowed = this.#allowedCertificate(client);
    return allowed === undefined || this.#isTakenBack(client) ? undefined : allowed;
  }

  /** Whether these rules hold for a user once authenticated. */
  exempts(user: string | undefined): user is string {
    return user !== undefined && this.#relay.authenticated === 'exempt';
  }

  /** Whether a client may send to a domain (normalized) that is not local. `why` gets the steps in the order of R6. */
  mayRelay(client: RelayClient, domain: string, why: string[]): boolean {
    const { scope } = this.#relay;
    if (scope === 'none') return accept(why, 'relay.scope is none');
    if (client.gateway) {
      why.push('other clients come in through this address: only an entry that is the address alone names it');
    }
    const internal = scope === 'external' ? this.internalHost(client) : undefined;
    if (internal !== undefined) return accept(why, `client is in ${internal}`);
    if (scope === 'external') why.push('client is external');
    const excluded = namedBy(this.#exclude, client);
    if (excluded !== undefined) return accept(why, `client is in relay.exclude (${excluded})`);
    if (this.#relay.exclude.length > 0) why.push('client is not in relay.exclude');
    if (this.exempts(client.user)) return accept(why, `user ${client.user} is authenticated`);
    if (client.user !== undefined) why.push(`user ${client.user} is authenticated, and relay.authenticated is checked`);
    return this.#byLists(client, domain, why);
  }

  /** Whether a client that these rules refuse might be allowed by its name, which DNS did not give. */
  nameCouldAllow(client: RelayClient, domain: string): boolean {
    if (client.gateway) return false;
    const { scope, internal, precedence } = this.#relay;
    if (this.#exclude.named) return true;
    if (scope === 'external' && (internal.names || this.#internal.named)) return true;
    if (!this.#allowHosts.named) return false;
    return precedence === 'allow' || (this.#deniedHost(client) ?? this.#denyDomains.match(domain)) === undefined;
  }

  #deniedHost({ client }: RelayClient): string | undefined {
    return this.#denyHosts.empty ? undefined : this.#denyHosts.match(parseIp(client.address), client.name);
  }

  #isTakenBack(client: RelayClient): boolean {
    return this.#relay.precedence === 'deny' && this.#deniedHost(client) !== undefined;
  }

  #allowedHost(client: RelayClient): string | undefined {
    const host = namedBy(this.#allowHosts, client);
    return host && `relay.allow.hosts (${host})`;
  }

  #allowedCertificate({ tls }: RelayClient): string | undefined {
    const entry = this.#allowCertificates.match(tls?.certificate);
    return entry && `relay.allow.certificates (${entry})`;
  }

  #byLists(client: RelayClient, domain: string, why: string[]): boolean {
    const denyWins = this.#relay.precedence === 'deny';
    const denied = this.#namedInDeny(client, domain);
    if (denyWins && denied !== undefined) return refuse(why, denied);
    const allowed = this.#namedInAllow(client, domain, why);
    if (allowed !== undefined) return accept(why, allowed);
    if (denied !== undefined) return refuse(why, denied);
    const deniesRest = this.#denyHosts.any ? 'hosts' : this.#denyDomains.any ? 'domains' : undefined;
    if (denyWins && deniesRest !== undefined) return refuse(why, `relay.deny.${deniesRest} has *`);
    if (this.#allowHosts.any) return accept(why, 'relay.allow.hosts has *');
    if (this.#allowDomains.any) return accept(why, 'relay.allow.domains has *');
    return refuse(why, deniesRest === undefined ? 'nothing allows it' : `relay.deny.${deniesRest} has *`);
  }

  #namedInDeny(client: RelayClient, domain: string): string | undefined {
    const host = this.#deniedHost(client);
    if (host !== undefined) return `client is in relay.deny.hosts (${host})`;
    const target = this.#denyDomains.match(domain);
    return target && `domain ${domain} is in relay.deny.domains (${target})`;
  }

  #namedInAllow(client: RelayClient, domain: string, why: string[]): string | undefined {
    const named = this.#allowedHost(client) ?? this.#allowedCertificate(client);
    if (named !== undefined) return `client is in ${named}`;
    why.push('client is not in relay.allow.hosts');
    if (client.tls?.certificate !== undefined) why.push('its certificate is not in relay.allow.certificates');
    const target = this.#allowDomains.match(domain);
    if (target !== undefined) return `domain ${domain} is in relay.allow.domains (${target})`;
    why.push(`domain ${domain} is not in relay.allow.domains`);
    return undefined;
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
