import { resolve } from 'node:path';
import { parseVia } from '#cluster/config/schema/route.ts';
import type { Config, RouteConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { domainOf, normalizeDomain } from '#shared/address/address.ts';
import { nearest } from '#shared/address/domains.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { NextHop } from '../delivery/job.ts';
import { limitFor } from '../pacing/limits.ts';

/** Where the mail of a recipient goes next, by the routes in force at this moment. */

/** Domains whose next hop is remembered. */
const KEPT = 10_000;

export class Routing {
  readonly #settings: Settings;
  #config: Config;
  readonly #answers = new BoundedMap<string, NextHop | undefined>(KEPT);

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#config = settings.current;
  }

  /** The next hop, or undefined where the route of this domain leads nowhere. */
  nextHop(address: string): NextHop | undefined {
    const config = this.#settings.current;
    if (config !== this.#config) {
      this.#answers.clear();
      this.#config = config;
    }
    // An address without a domain is the local <postmaster> (RFC 5321 §4.5.1).
    const domain = domainOf(address) || config.node.hostname;
    let hop = this.#answers.get(domain);
    if (hop === undefined && !this.#answers.has(domain)) {
      const name = normalizeDomain(domain);
      hop = nextHopOf(routeFor(config.routes, domain), name, config);
      const limit = limitFor(config.rates.destinations, name)?.key;
      if (hop !== undefined && limit !== undefined) hop = { ...hop, limit };
      const conversion = conversionFor(routeFor(config.routes, domain), name, config);
      if (hop !== undefined && conversion !== undefined) hop = { ...hop, conversion };
      this.#answers.set(domain, hop);
    }
    return hop;
  }
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
