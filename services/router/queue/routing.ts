import { resolve } from 'node:path';
import { parseVia } from '#cluster/config/schema/route.ts';
import type { Config, RouteConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { domainOf, localPartOf, normalizeDomain } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey, withoutTag } from '#shared/address/canonical-address.ts';
import { nearest } from '#shared/address/domains.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { NextHop } from '../delivery/job.ts';
import { limitFor } from '../pacing/limits.ts';

/** Where the mail of a recipient goes next, by the routes in force at this moment. */

/** Domains whose next hop is remembered. */
const KEPT = 10_000;

type Answer = { hop: NextHop | undefined; junkTo: string | undefined };

export class Routing {
  readonly #settings: Settings;
  #config: Config;
  readonly #answers = new BoundedMap<string, Answer>(KEPT);
  /** Mailboxes that reports are sent to, on DMARC and on TLS. */
  #reports: ReadonlySet<string>;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#config = settings.current;
    this.#reports = reportMailboxes(this.#config);
  }

  /** The next hop, or undefined where the route of this domain leads nowhere. */
  nextHop(address: string): NextHop | undefined {
    return this.#answer(address).hop;
  }

  /** Where mail to an address goes; `junk`: to the mailbox that its route names for junk. */
  target(address: string, junk: boolean): { address: string; hop: NextHop | undefined } {
    const { hop, junkTo } = this.#answer(address);
    if (!junk || junkTo === undefined) return { address, hop };
    const other = junkAddress(address, junkTo);
    return { address: other, hop: this.nextHop(other) };
  }

  /** Whether reports are sent to a recipient: to the address that RCPT named, or to the one that it stands for. */
  takesReports({ address, original = address }: EnvelopeRecipient): boolean {
    this.#refresh();
    if (this.#reports.size === 0) return false;
    return [address, original].some((name) => this.#reports.has(mailboxKey(canonicalAddress(name))));
  }

  #refresh(): void {
    const config = this.#settings.current;
    if (config === this.#config) return;
    this.#answers.clear();
    this.#config = config;
    this.#reports = reportMailboxes(config);
  }

  #answer(address: string): Answer {
    this.#refresh();
    const config = this.#config;
    // An address without a domain is the local <postmaster> (RFC 5321 §4.5.1).
    const domain = domainOf(address) || config.node.hostname;
    let answer = this.#answers.get(domain);
    if (answer === undefined) {
      const name = normalizeDomain(domain);
      const route = routeFor(config.routes, domain);
      let hop = nextHopOf(route, name, config);
      const limit = limitFor(config.rates.destinations, name)?.key;
      if (hop !== undefined && limit !== undefined) hop = { ...hop, limit };
      const conversion = conversionFor(route, name, config);
      if (hop !== undefined && conversion !== undefined) hop = { ...hop, conversion };
      answer = { hop, junkTo: route['junk-to'] };
      this.#answers.set(domain, answer);
    }
    return answer;
  }
}

function reportMailboxes({ authenticity, delivery }: Config): Set<string> {
  return new Set([...authenticity.dmarc.reports.receive, ...delivery['tls-reports'].receive].map(mailboxKey));
}

/** What a route says about junk to an address: another mailbox, or `+Junk`, the tag of its own. */
function junkAddress(address: string, junkTo: string): string {
  if (junkTo.includes('@')) return junkTo;
  const local = localPartOf(address);
  // A quoted local part has no tag, and neither has the postmaster's without a domain.
  if (local.startsWith('"') || local === address) return address;
  return `${localPartOf(withoutTag(address, junkTo.charAt(0)) ?? address)}${junkTo}@${domainOf(address)}`;
}

/** Mail for which there is no route goes to its MX hosts (RFC 5321 §5.1). */
const BY_MX: RouteConfig = { to: '*', via: 'mx', tls: 'opportunistic' };

/** The route of a recipient domain: the most specific `to` by whole labels wins, `*` comes last. */
export function routeFor(routes: readonly RouteConfig[], domain: string): RouteConfig {
  const routeTo = (to: string): RouteConfig | undefined => routes.find((route) => route.to === to);
  return nearest(normalizeDomain(domain), routeTo) ?? routeTo('*') ?? BY_MX;
}

/**
 * Whether 8-bit mail to a domain (normalized) is converted where the next hop does not offer 8BITMIME. To a domain of ours
 * always: its signatures were there for us to check, and the mail was accepted. On a route to the host of a named domain
 * too, but there somebody else may check a signature.
 */
function conversionFor(route: RouteConfig, domain: string, config: Config): NextHop['conversion'] {
  if (route['8bit'] === 'refuse') return undefined;
  const named = new Set(config.relay.allow.domains);
  const isOurs =
    config.domains.some(({ local, name }) => local && name === domain) ||
    nearest(domain, (name) => named.has(name) || undefined) === true;
  if (isOurs) return 'always';
  const kind = parseVia(route.via)?.kind;
  const toHost = route.to !== '*' && (kind === 'smtp' || kind === 'lmtp');
  return route['8bit'] === 'convert' || toHost ? 'unsigned' : undefined;
}

function nextHopOf(route: RouteConfig, domain: string, config: Config): NextHop | undefined {
  const via = parseVia(route.via);
  if (via === undefined) return undefined;
  // Connections under different TLS rules are never shared, so the rule is part of the key.
  const tls = route.tls === 'opportunistic' ? '' : ` (tls ${route.tls})`;
  const rules = { tls: route.tls, ...(route.ca !== undefined && { ca: route.ca }) };
  switch (via.kind) {
    case 'mx':
      return { key: `mx:${domain}${tls}`, spec: { kind: 'mx', domain }, ...rules };
    case 'capture':
      return { key: via.kind, spec: { kind: via.kind, folder: resolve(config.node.data, 'capture') }, ...rules };
    case 'smtp':
      return { key: `${route.via}${tls}`, spec: { ...via, password: route.password, oauth: route.oauth }, ...rules };
    default:
      return { key: `${route.via}${tls}`, spec: via, ...rules };
  }
}
