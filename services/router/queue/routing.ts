import type { Config, RouteConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { domainOf, localPartOf, normalizeDomain } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey, withoutTag } from '#shared/address/canonical-address.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { Directive } from '#shared/directive.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import type { NextHop } from '../delivery/job.ts';
import { limitFor } from '../pacing/limits.ts';
import { drawn, nextHopsOf, type WeightedHop } from './next-hops.ts';
import { RouteTable, type Sender } from './route-table.ts';

/** Where the mail of a recipient goes next, by the routes in force at this moment. */

/** Domains whose next hop is remembered. */
const KEPT = 10_000;

type Answer = { hops: readonly WeightedHop[]; junkTo: string | undefined };

/** What the routing needs of the directives (directives/directives.ts). */
export type Redirects = { readonly revision: number; redirect(domain: string): Directive | undefined };

/**
 * What of a message its way depends on. `junk`: to the mailbox that its route names for junk; `routeOf`: as mail to this domain;
 * `via`: by the hosts that an operator named, with the rules of its route.
 */
export type Routed = Sender & { id: string; junk: boolean; routeOf?: string | undefined; via?: string | undefined };

export class Routing {
  readonly #settings: Settings;
  readonly #redirects: Redirects | undefined;
  #revision: number | undefined;
  #config: Config;
  #table: RouteTable;
  readonly #answers = new BoundedMap<string, Answer>(KEPT);
  /** Mailboxes that reports are sent to, on DMARC and on TLS. */
  #reports: ReadonlySet<string>;

  constructor(settings: Settings, redirects?: Redirects) {
    this.#settings = settings;
    this.#redirects = redirects;
    this.#config = settings.current;
    this.#table = new RouteTable(this.#config.routes);
    this.#reports = reportMailboxes(this.#config);
  }

  /** The next hop of mail, or undefined where the route of this domain leads nowhere. */
  nextHop(address: string, mail?: Omit<Routed, 'junk'>): NextHop | undefined {
    return drawn(this.#answer(address, mail).hops, mail?.id ?? '');
  }

  /** Where mail to an address goes. */
  target(address: string, mail: Routed): { address: string; hop: NextHop | undefined } {
    const { hops, junkTo } = this.#answer(address, mail);
    if (!mail.junk || junkTo === undefined) return { address, hop: drawn(hops, mail.id) };
    const other = junkAddress(address, junkTo);
    return { address: other, hop: this.nextHop(other, mail) };
  }

  /** Whether reports are sent to a recipient: to the address that RCPT named, or to the one that it stands for. */
  takesReports({ address, original = address }: EnvelopeRecipient): boolean {
    this.#refresh();
    if (this.#reports.size === 0) return false;
    return [address, original].some((name) => this.#reports.has(mailboxKey(canonicalAddress(name))));
  }

  #refresh(): void {
    const config = this.#settings.current;
    if (config === this.#config && this.#redirects?.revision === this.#revision) return;
    this.#revision = this.#redirects?.revision;
    this.#answers.clear();
    this.#config = config;
    this.#table = new RouteTable(config.routes);
    this.#reports = reportMailboxes(config);
  }

  #answer(address: string, sender?: Omit<Routed, 'junk'>): Answer {
    this.#refresh();
    const config = this.#config;
    // An address without a domain is the local <postmaster> (RFC 5321 §4.5.1).
    const domain = sender?.routeOf ?? (domainOf(address) || config.node.hostname);
    const bySender = this.#table.bySender ? this.#table.routeFor(domain, sender) : undefined;
    const via = sender?.via;
    const route = bySender === undefined ? '' : ` ${config.routes.indexOf(bySender)}`;
    const key = `${domain}${route}${via === undefined ? '' : ` ${via}`}`;
    let answer = this.#answers.get(key);
    if (answer === undefined) {
      const name = normalizeDomain(domain);
      const own = bySender ?? this.#table.routeFor(domain);
      const limit = limitFor(config.rates.destinations, name)?.key;
      const redirected = via === undefined ? this.#redirects?.redirect(name) : undefined;
      const other = via ?? (redirected && (redirected.via ?? 'mx'));
      const hops = nextHopsOf(other === undefined ? own : otherWay(own, other), name, config);
      const more = { ...(limit !== undefined && { limit }), ...(redirected && { redirected }) };
      answer = {
        hops: hops.map(({ hop, weight }) => ({ hop: { ...hop, ...more }, weight })),
        junkTo: own['junk-to'],
      };
      this.#answers.set(key, answer);
    }
    return answer;
  }
}

/** A route that leads elsewhere: its log-in is for no other host. */
function otherWay({ password: _, oauth: __, ...route }: RouteConfig, via: string): RouteConfig {
  return { ...route, via };
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
