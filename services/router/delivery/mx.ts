import { isIP } from 'node:net';
import type { Settings } from '#cluster/config/settings.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { Unreachable } from './channel.ts';
import { isExcepted } from './dane/configured.ts';
import { type Dane, daneOf } from './dane/dane.ts';
import { dnsTrouble, MAX_ADDRESSES } from './hosts/named-host.ts';
import { isUsed } from './hosts/source.ts';
import type { HopSource } from './job.ts';
import { isHostAddress, isPublished, selfTest } from './mail-loop.ts';
import { RecentDomains } from './recent-domains.ts';
import { type Addresses, DnsTrouble, type Resolver } from './resolver.ts';
import type { OnTlsResult } from './tls-policy/result.ts';
import { namesHost, type StsAnswer, type StsPolicies } from './tls-policy/sts/policies.ts';
import type { Target, TlsRules } from './tls-policy/wanted.ts';

/**
 * Which hosts accept mail for a domain (RFC 5321 §5.1): MX records by preference, equal ones in random order, every
 * address of every host; without MX the domain's own address; for a literal `[192.0.2.1]` that address. And what DANE and
 * MTA-STS ask of each host.
 */

type MailHost = { name: string; preference: number; addresses: string[]; dane?: Dane; unproven?: true };
/** `missing`: why the addresses of a host are not known, of the best one of these. */
type Answer = { hosts: MailHost[]; missing?: Missing } | { none: Unreachable };
type Missing = { preference: number; reason: Unreachable };
type Entry = { answer: Promise<Answer>; until: number };

/** What says more of the TLS of a domain than its DNS. Without `sts` no domain has a policy. */
type Policies = { sts?: StsPolicies | undefined; onTlsResult?: OnTlsResult | undefined };

const SMTP_PORT = 25;
/** MX records looked at. */
const MAX_RECORDS = 20;
/** Domains kept, for how many seconds at most, and for how many after a negative answer. */
const MAX_CACHED = 10_000;
const MAX_TTL_S = 60;
const NEGATIVE_TTL_S = 5;
/** RFC 7505 §4.1. */
const NULL_MX = '5.1.10';
/** A domain that answered lately must be missing for this many first waits (`queue.retry.first`): 1 h by default. */
const PATIENCE = 12;

export class MxLookup {
  readonly #resolver: Resolver;
  readonly #settings: Settings;
  /** In the order of use: the first entry is the one to drop. */
  readonly #cache = new BoundedMap<string, Entry>(MAX_CACHED);
  readonly #recent = new RecentDomains();
  readonly #policies: Policies;

  constructor(resolver: Resolver, settings: Settings, policies: Policies = {}) {
    this.#resolver = resolver;
    this.#settings = settings;
    this.#policies = policies;
  }

  /** The addresses to try for a domain, best first, at least one. Rejects with `Unreachable`. */
  async targets(
    domain: string,
    rules: Pick<TlsRules, 'tls' | 'byMessage' | 'demand'> = ANY_TLS,
    source?: HopSource,
  ): Promise<Target[]> {
    const config = this.#settings.current;
    // A route that says how a certificate is verified, or wants no TLS, leaves nothing to say.
    const { tls, byMessage, demand } = rules;
    const open =
      (tls === 'opportunistic' || tls === 'required' || (tls === 'verified' && byMessage)) &&
      demand?.ignorePolicies !== true;
    const usesDane = open && !isExcepted(config, domain, Date.now());
    const isLiteral = domain.startsWith('[');
    const [answer, found] = await Promise.all([
      isLiteral ? literalAnswer(domain) : this.#cached(domain),
      // REQUIRETLS needs it as a proof of the host, whatever the route says.
      (open || demand?.requireTls === 'always') && !isLiteral ? this.#policyOf(domain) : undefined,
    ]);
    if ('none' in answer) throw answer.none;
    const hosts = answer.hosts
      .map((host) => ({ ...host, addresses: host.addresses.filter((address) => isPublished(config, address)) }))
      .filter(({ name, addresses }) => addresses.length > 0 || name === config.node.hostname);
    if (hosts.length === 0) throw unpublished(domain, answer.hosts);
    const self = hosts.filter(selfTest(config, SMTP_PORT)).toSorted((a, b) => a.preference - b.preference)[0];
    // This host, its equals and those after it are not usable: they would send the mail back (RFC 5321 §5.1).
    const usable = hosts.filter((host) => self === undefined || host.preference < self.preference);
    if (usable.length === 0) {
      // One before us is there, as soon as DNS says where.
      if (answer.missing !== undefined && answer.missing.preference < (self?.preference ?? 0))
        throw answer.missing.reason;
      const text = `mail for ${domain} loops back to this host: its best mail exchanger ${self?.name} is this machine`;
      throw new Unreachable('failed', reply(554, '5.4.6', text));
    }
    const order = new Map(usable.map((host) => [host, Math.random()]));
    return usable
      .toSorted((a, b) => a.preference - b.preference || (order.get(a) ?? 0) - (order.get(b) ?? 0))
      .flatMap(({ name, addresses, dane, unproven }) => {
        const policy = found?.kind === 'policy' ? found.policy : undefined;
        const asked = {
          ...(usesDane && dane !== undefined && { dane }),
          ...(policy && { sts: { policy, matches: namesHost(policy, name) } }),
          ...(found?.kind === 'none' && found.unknown && { stsUnknown: found.unknown }),
          ...(unproven && { unproven }),
        };
        return addresses.map((address) => ({ name, address, port: SMTP_PORT, domain, ...asked }));
      })
      .toSorted((a, b) => rankOf(a, source) - rankOf(b, source))
      .slice(0, MAX_ADDRESSES);
  }

  async #policyOf(domain: string): Promise<StsAnswer | undefined> {
    const { sts, onTlsResult } = this.#policies;
    const answer = await sts?.find(domain);
    const failure = answer?.kind === 'none' ? answer.failure : undefined;
    const policy = { type: 'sts', strings: [], mxHosts: [] } as const;
    if (failure !== undefined) onTlsResult?.({ domain, policy, host: undefined, failure });
    return answer;
  }

  /** Why a host of a domain is not among its targets that may be there later; undefined: all of them are. */
  async missing(domain: string): Promise<Unreachable | undefined> {
    if (domain.startsWith('[')) return undefined;
    const answer = await this.#cached(domain);
    const reason = 'none' in answer ? answer.none : answer.missing?.reason;
    return reason?.state === 'deferred' ? reason : undefined;
  }

  #cached(domain: string): Promise<Answer> {
    // What was found without DNSSEC says nothing of DANE.
    const key = this.#settings.current.dns.dnssec ? `${domain} by DNSSEC` : domain;
    const known = this.#cache.get(key);
    if (known !== undefined && known.until > performance.now()) {
      this.#cache.set(key, known);
      return known.answer;
    }
    // Connections that ask while the query is out share its answer.
    const entry: Entry = { answer: Promise.resolve({ hosts: [] }), until: Number.POSITIVE_INFINITY };
    entry.answer = this.#resolve(domain).then(({ answer, ttl }) => {
      entry.until = performance.now() + ttl * 1000;
      return answer;
    });
    this.#cache.set(key, entry);
    return entry.answer;
  }

  async #resolve(domain: string): Promise<{ answer: Answer; ttl: number }> {
    const { answer, ttl } = await this.#ask(domain);
    if ('hosts' in answer) {
      this.#recent.answered(domain);
      return { answer, ttl };
    }
    const { state, reply: said } = answer.none;
    if (state !== 'failed' || said.enhanced === NULL_MX) return { answer, ttl };
    const patience = this.#settings.current.queue.retry.first * PATIENCE;
    return this.#recent.isGone(domain, patience) ? { answer, ttl } : { answer: { none: doubted(said) }, ttl };
  }

  async #ask(domain: string): Promise<{ answer: Answer; ttl: number }> {
    const none = (unreachable: Unreachable) => ({ answer: { none: unreachable }, ttl: NEGATIVE_TTL_S });
    try {
      const { exists, records, authenticated } = await this.#resolver.mx(domain);
      if (!exists) return none(failed('5.1.2', `domain ${domain} does not exist`));
      // RFC 7505 §3: a single MX with an empty name says that the domain takes no mail.
      if (records.length === 1 && isRoot(records[0]?.exchange)) {
        return none(failed(NULL_MX, `domain ${domain} accepts no mail (null MX)`));
      }
      const proven = authenticated && this.#settings.current.dns.dnssec;
      if (records.length > 0) return await this.#hosts(domain, records, proven);
      const found = await this.#resolver.addresses(domain);
      const addresses = found.addresses.filter(isHostAddress);
      if (addresses.length === 0) return none(failed('5.1.2', `domain ${domain} has no mail exchanger and no address`));
      const host = await this.#host({ name: domain, preference: 0, addresses }, found, proven ? domain : undefined);
      return { answer: { hosts: [host] }, ttl: Math.min(found.ttl, longestFor(host)) };
    } catch (error) {
      return none(domainTrouble(domain, error));
    }
  }

  /** With what DANE asks of it, where the domain that leads to it is proven. */
  async #host(host: MailHost, { authenticated }: Addresses, proven: string | undefined): Promise<MailHost> {
    if (proven === undefined || host.addresses.length === 0) return host;
    const dane = await daneOf(this.#resolver, { name: host.name, authenticated }, proven);
    return dane === undefined ? host : { ...host, dane };
  }

  async #hosts(domain: string, records: readonly { exchange: string; priority: number }[], proven: boolean) {
    const best = records.toSorted((a, b) => a.priority - b.priority).slice(0, MAX_RECORDS);
    let ttl = MAX_TTL_S;
    let trouble: { name: string; preference: number; error: unknown } | undefined;
    const hosts: MailHost[] = [];
    await Promise.all(
      best.map(async ({ exchange, priority }) => {
        const name = exchange.toLowerCase().replace(/\.$/, '');
        // An address in place of a name is not a mail exchanger (RFC 1035 §3.3.9).
        if (isRoot(name) || isIP(name) !== 0) return;
        try {
          const found = await this.#resolver.addresses(name);
          const addresses = found.addresses.filter(isHostAddress);
          ttl = Math.min(ttl, found.ttl);
          // Our own name counts even without an address: the list ends there for us.
          if (addresses.length > 0 || name === this.#settings.current.node.hostname) {
            const host: MailHost = { name, preference: priority, addresses, ...(!proven && { unproven: true }) };
            hosts.push(await this.#host(host, found, proven ? domain : undefined));
          }
        } catch (error) {
          // The list ends at our own name, wherever it leads.
          if (name === this.#settings.current.node.hostname) hosts.push({ name, preference: priority, addresses: [] });
          else if (trouble === undefined || priority < trouble.preference)
            trouble = { name, preference: priority, error };
        }
      }),
    );
    if (hosts.length > 0) {
      // DNS answered for the others, so this is no trouble of this node.
      const missing = trouble && {
        preference: trouble.preference,
        reason: dnsTrouble(trouble.name, trouble.error, false),
      };
      return { answer: { hosts, ...(missing && { missing }) }, ttl: Math.min(ttl, ...hosts.map(longestFor)) };
    }
    const none =
      trouble === undefined
        ? failed('5.4.4', `no mail exchanger of ${domain} has an address: ${best.map((r) => r.exchange).join(', ')}`)
        : domainTrouble(domain, trouble.error);
    return { answer: { none }, ttl: NEGATIVE_TTL_S };
  }
}

const ANY_TLS = { tls: 'opportunistic', byMessage: false } as const;

/** What is tried at all comes first, also where there are many addresses. */
function rankOf(target: Target, source: HopSource | undefined): number {
  return Number(isBarred(target)) + (isUsed(source, target.address) ? 0 : 2);
}

/** Whether a policy keeps mail from a host. */
function isBarred({ dane, sts }: Target): boolean {
  return dane === undefined && sts?.policy.mode === 'enforce' && !sts.matches;
}

/** For how many seconds a host is kept at most: what nobody could say is asked again soon. */
function longestFor({ dane }: MailHost): number {
  return dane?.kind === 'unknown' ? NEGATIVE_TTL_S : MAX_TTL_S;
}

function isRoot(name: string | undefined): boolean {
  return name === '' || name === '.';
}

function failed(enhanced: string, text: string): Unreachable {
  return new Unreachable('failed', reply(550, enhanced, text));
}

/** DNS says that a domain is not there which was there lately. */
function doubted({ enhanced = '5.1.2', text }: Reply): Unreachable {
  const doubt = `${text}; it was there lately, so it is asked for again before the mail is returned`;
  return new Unreachable('deferred', reply(451, enhanced.replace('5', '4'), doubt));
}

/**
 * Trouble with the DNS of a domain. A resolver that does not answer or refuses is trouble of this node; one that
 * answers SERVFAIL works, and the fault is the domain's: its mail waits as for any host that is down.
 */
function domainTrouble(domain: string, error: unknown): Unreachable {
  return dnsTrouble(domain, error, !(error instanceof DnsTrouble && error.ofDomain));
}

function unpublished(domain: string, hosts: readonly MailHost[]): Unreachable {
  const found = hosts.flatMap(({ name, addresses }) => addresses.map((address) => `${name}[${address}]`)).join(', ');
  const text = `mail for ${domain} leads to addresses of this machine alone: ${found}; delivery.allow-local permits them`;
  return failed('5.4.4', text);
}

/** `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3). */
function literalAnswer(domain: string): Answer {
  const address = domain.slice(1, domain.endsWith(']') ? -1 : undefined).replace(/^ipv6:/i, '');
  return isHostAddress(address)
    ? { hosts: [{ name: address, preference: 0, addresses: [address] }] }
    : { none: failed('5.1.2', `${domain} is not an address that mail can be sent to`) };
}
