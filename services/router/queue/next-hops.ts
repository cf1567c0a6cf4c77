import { resolve } from 'node:path';
import { secretsOf } from '#cluster/config/rules/routes.ts';
import { hopsOf, parseVia, type RouteHop } from '#cluster/config/schema/route.ts';
import type { Config, RouteConfig } from '#cluster/config/schema/schema.ts';
import { nearest } from '#shared/address/domains.ts';
import type { HopSource, NextHop, SmtpHost } from '../delivery/job.ts';

/**
 * The next hops that a route makes for a recipient domain.
 *
 * A list of hosts is one next hop: delivery goes on to the next host in the same attempt (delivery/smtp/transport.ts). Hosts
 * that share the mail by weight are as many next hops, each with another of them as the first one and the others after it
 * in their order, so that each has connections of its own, and mail is shared as it is and not by connections. Which of
 * them a message takes is drawn by its queue id: so it is the same at each attempt, and on a node that takes the message over.
 */

export type WeightedHop = { hop: NextHop; weight: number };

/** Empty where the route leads nowhere. */
export function nextHopsOf(route: RouteConfig, domain: string, config: Config): WeightedHop[] {
  const conversion = conversionFor(route, domain, config);
  return ordersOf(hopsOf(route)).flatMap(({ hops, weight }) => {
    const hop = nextHopOf({ ...route, via: hops }, domain, config);
    return hop === undefined ? [] : [{ hop: conversion === undefined ? hop : { ...hop, conversion }, weight }];
  });
}

/** The one that a message takes. */
export function drawn(hops: readonly WeightedHop[], id: string): NextHop | undefined {
  if (hops.length <= 1) return hops[0]?.hop;
  const total = hops.reduce((sum, { weight }) => sum + weight, 0);
  let left = fraction(id) * total;
  return hops.find(({ weight }) => {
    left -= weight;
    return left < 0;
  })?.hop;
}

/** A number in [0, 1) from a text, the same everywhere: FNV-1a, its bits mixed as in MurmurHash3. */
function fraction(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

type Order = { hops: RouteHop[]; weight: number };

/** The orders in which the hosts of a list are tried: one, but where neighbours have weights. */
function ordersOf(hops: readonly RouteHop[]): Order[] {
  let orders: Order[] = [{ hops: [], weight: 1 }];
  for (let i = 0; i < hops.length; ) {
    let end = i + 1;
    if (hops[i]?.weight !== undefined) while (hops[end]?.weight !== undefined) end++;
    const sharing = hops.slice(i, end);
    orders = orders.flatMap((order) =>
      sharing.map((first) => ({
        hops: [...order.hops, first, ...sharing.filter((one) => one !== first)],
        weight: order.weight * (first.weight ?? 1),
      })),
    );
    i = end;
  }
  return orders;
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
  const kind = parseVia(hopsOf(route)[0]?.hop ?? '')?.kind;
  const toHost = route.to !== '*' && (kind === 'smtp' || kind === 'lmtp');
  return route['8bit'] === 'convert' || toHost ? 'unsigned' : undefined;
}

function nextHopOf(route: RouteConfig, domain: string, config: Config): NextHop | undefined {
  const hops = hopsOf(route);
  const via = parseVia(hops[0]?.hop ?? '');
  if (via === undefined) return undefined;
  // Connections under different TLS rules are never shared, so the rule is part of the key.
  const tls = `${route.tls === 'opportunistic' ? '' : ` (tls ${route.tls})`}${sourceText(route)}`;
  const source = sourceOf(route);
  const rules = { tls: route.tls, ...(route.ca !== undefined && { ca: route.ca }), ...(source && { source }) };
  const key = `${hops.map(({ hop }) => hop).join(', ')}${tls}`;
  switch (via.kind) {
    case 'mx':
      return { key: `mx:${domain}${tls}`, spec: { kind: 'mx', domain }, ...rules };
    case 'capture':
      return { key: via.kind, spec: { kind: via.kind, folder: resolve(config.node.data, 'capture') }, ...rules };
    case 'smtp': {
      const [first = via, ...others] = hops.flatMap((hop) => smtpHost(route, hop));
      return { key, spec: { kind: 'smtp', ...first, ...(others.length > 0 && { others }) }, ...rules };
    }
    case 'lmtp': {
      const others = hops.slice(1).flatMap(({ hop }) => {
        const spec = parseVia(hop);
        return spec?.kind === 'lmtp' ? [{ host: spec.host, port: spec.port }] : [];
      });
      return { key, spec: { ...via, ...(others.length > 0 && { others }) }, ...rules };
    }
    default:
      return { key, spec: via, ...rules };
  }
}

/** A host, with what its entry or its route says for its user; a host without a user is told nothing. */
function smtpHost(route: RouteConfig, entry: RouteHop): SmtpHost[] {
  const spec = parseVia(entry.hop);
  if (spec?.kind !== 'smtp') return [];
  const { kind: _, ...host } = spec;
  return [host.user === undefined ? host : { ...host, ...secretsOf(route, entry) }];
}

/** One source alone keeps to its family: mail would leave by another address else. */
function sourceOf({ source: ipv4, source6: ipv6, family, ehlo }: RouteConfig): HopSource | undefined {
  if (ipv4 === undefined && ipv6 === undefined && family === undefined && ehlo === undefined) return undefined;
  const only = ipv6 === undefined ? 'ipv4' : 'ipv6';
  const implied = (ipv4 === undefined) === (ipv6 === undefined) ? undefined : only;
  return { ipv4, ipv6, ehlo, family: family === 'any' ? undefined : (family ?? implied) };
}

function sourceText({ source, source6, family, ehlo }: RouteConfig): string {
  const said = [source, source6, family, ehlo].filter((one) => one !== undefined);
  return said.length === 0 ? '' : ` (from ${said.join(' ')})`;
}
