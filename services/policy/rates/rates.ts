import type { RatesConfig } from '#cluster/config/schema/schema.ts';
import type { Settings } from '#cluster/config/settings.ts';
import { AnnounceLoop } from '#cluster/members/announce.ts';
import { LivePeers, type PeerBus } from '#cluster/members/peers.ts';
import { domainOf } from '#shared/address/address.ts';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { nearest } from '#shared/address/domains.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import type { EventPayload } from '#shared/contract.ts';
import { newId } from '#shared/ids.ts';
import { printable } from '#shared/text.ts';
import { formatRate, type Rate } from '#shared/units.ts';
import { MOST_COUNTS, type PolicyContract, type Refusal, type SessionFacts } from '../contract.ts';
import { defer } from '../verdict.ts';
import { type Count, SlidingCounts, type Sums, waitFor } from './sliding-counts.ts';

/**
 * Limits for senders (`rates.users`, `rates.senders`): messages and recipients in a period, through all nodes together.
 * Messages are counted at MAIL, recipients at RCPT, when everything else has let them pass. Beyond the limit the reply is
 * 450 4.7.1 with the time to wait; what was refused does not count, so waiting helps.
 *
 * Each policy service counts what it let pass, and tells the others within `SOON_MS`: the sum counts. So a client that
 * uses all nodes concurrently gets no more than a moment's worth above its limit. The counts of an instance that died stay
 * with the others until their windows are over.
 *
 * An instance that is cut off (cluster/members/peers.ts) does not hear what the others count. From then on it lets pass at
 * most its part of the limit, by the last known number of nodes and at least one, and never more than what was left as far
 * as it knows.
 *
 * A sender without a limit is not counted. Memory is bounded: at most `MOST_KEYS` counts of each instance.
 */

/** Counts are told at most this long after the first that changed, in ms. */
const SOON_MS = 100;
const MOST_KEYS = 10_000;
/** Instances whose counts are kept, also those that died recently: far more than a cluster has. */
const MOST_INSTANCES = 64;

export type Counted = 'messages' | 'recipients';
type Request = { facts: SessionFacts; reversePath: string };
type Announced = EventPayload<PolicyContract, 'counts'>;

export type CountsBus = PeerBus<PolicyContract, 'counts'>;

/** What is counted together, and how much of it is allowed. */
type Limit = { who: string; rate: Rate };

export type RatesDeps = {
  settings: Settings;
  /** Undefined: this policy service is the only one. */
  peers: CountsBus | undefined;
  /** ms since 1970, the same on all nodes. */
  now?: () => number;
  /** Milliseconds of a clock that never jumps. */
  clock?: () => number;
};

export class Rates {
  readonly #settings: Settings;
  readonly #bus: CountsBus | undefined;
  readonly #now: () => number;
  readonly #instance = newId();
  readonly #peers: LivePeers<true>;
  readonly #loop = new AnnounceLoop(() => this.#say(false));
  readonly #own = new SlidingCounts(MOST_KEYS);
  /** What the others have counted, by instance; the one heard last comes last. */
  readonly #others = new BoundedMap<string, SlidingCounts>(MOST_INSTANCES);
  /** What was let pass since this instance was cut off. */
  #apart: SlidingCounts | undefined;
  /** Keys of own counts that the others do not know yet. */
  readonly #untold = new Set<string>();
  #stopHearing: (() => void) | undefined;

  constructor({ settings, peers, now = Date.now, clock }: RatesDeps) {
    this.#settings = settings;
    this.#bus = peers;
    this.#now = now;
    this.#peers = new LivePeers({ bus: peers, clock });
  }

  start(): void {
    if (this.#bus === undefined) return;
    this.#stopHearing = this.#bus.hear('counts', (heard) => this.#hear(heard));
    this.#loop.start();
  }

  stop(): void {
    if (this.#stopHearing === undefined) return;
    this.#stopHearing();
    this.#loop.stop(() => this.#say(true));
  }

  /** Count what `verdict` accepts, or refuse it where that is too much. */
  count<Verdict extends { action: 'accept' } | Refusal>(
    what: Counted,
    request: Request,
    verdict: Verdict,
  ): Verdict | Extract<Refusal, { action: 'defer' }> {
    if (verdict.action !== 'accept') return verdict;
    const limit = limitFor(this.#settings.current.rates, what, request);
    if (limit === undefined) return verdict;
    const { who, rate } = limit;
    const key = `${what} of ${who}`;
    const wait = this.#wait(key, rate);
    if (wait > 0) {
      const seconds = Math.ceil(wait / 1000);
      const text = `Rate limit of ${formatRate(rate)} ${what} for ${printable(who, 160)} is reached, try again in ${seconds} s`;
      return defer(450, '4.7.1', text, [text]);
    }
    const time = this.#now();
    this.#own.add(key, rate.per, time);
    this.#apart?.add(key, rate.per, time);
    if (this.#bus !== undefined) {
      this.#untold.add(key);
      this.#loop.within(SOON_MS);
    }
    return verdict;
  }

  /** The ms until one more may pass. */
  #wait(key: string, { count, per }: Rate): number {
    const time = this.#now();
    const total: Sums = this.#own.sums(key, per, time);
    for (const counts of this.#others.values()) {
      const { now, before } = counts.sums(key, per, time);
      total.now += now;
      total.before += before;
    }
    const wait = waitFor(total, count, per, time);
    const { standing } = this.#peers;
    if (standing.kind !== 'apart') {
      if (standing.kind !== 'listening') this.#apart = undefined;
      return wait;
    }
    this.#apart ??= new SlidingCounts(MOST_KEYS);
    const part = Math.max(1, Math.floor(count / standing.of));
    return Math.max(wait, waitFor(this.#apart.sums(key, per, time), part, per, time));
  }

  #hear({ node, instance, leaving, counts }: Announced): void {
    if (instance === this.#instance) return;
    const known = this.#others.get(instance) ?? new SlidingCounts(MOST_KEYS);
    this.#others.set(instance, known);
    for (const { key, ...count } of counts) known.set(key, count satisfies Count);
    if (leaving) this.#peers.leave(node);
    // A newcomer knows nothing of what was counted.
    else if (this.#peers.hear(node, true)) for (const key of this.#own.keys()) this.#untold.add(key);
  }

  /** Tell the others what they do not know yet, where there are limits: each second, also if that is nothing. */
  tell(): void {
    this.#loop.now();
  }

  #say(leaving: boolean): void {
    const { users, senders } = this.#settings.current.rates;
    const isLimited = users.length > 0 || senders.length > 0;
    if (!isLimited && !leaving) return;
    this.#peers.look();
    const counts: Announced['counts'] = [];
    for (const key of this.#untold) {
      const count = this.#own.get(key);
      if (count !== undefined) counts.push({ key, ...count });
    }
    this.#untold.clear();
    do {
      const part = counts.splice(0, MOST_COUNTS);
      this.#bus?.announce('counts', {
        node: this.#settings.current.node.name,
        instance: this.#instance,
        leaving,
        counts: part,
      });
    } while (counts.length > 0);
  }
}

/** The limit for a sender, if there is one: the most specific entry counts, though it may not limit `what`. */
function limitFor(rates: RatesConfig, what: Counted, { facts, reversePath }: Request): Limit | undefined {
  const { user } = facts;
  const found = user === undefined ? senderLimit(rates.senders, reversePath) : userLimit(rates.users, user);
  const rate = found?.entry[what];
  return found === undefined || rate === undefined ? undefined : { who: found.who, rate };
}

function userLimit(users: RatesConfig['users'], user: string) {
  const key = mailboxKey(user);
  const entry = users.find(({ name }) => mailboxKey(name) === key) ?? users.find(({ name }) => name === '*');
  return entry && { entry, who: `user ${key}` };
}

/** An address counts by itself, a domain with everything below it, any other domain by itself. */
function senderLimit(senders: RatesConfig['senders'], reversePath: string) {
  if (reversePath === '' || senders.length === 0) return undefined;
  const address = mailboxKey(canonicalAddress(reversePath));
  const exact = senders.find(({ from }) => from.includes('@') && mailboxKey(canonicalAddress(from)) === address);
  if (exact !== undefined) return { entry: exact, who: `sender ${address}` };
  const domain = domainOf(address);
  const limitOf = (name: string) => senders.find(({ from }) => from === name);
  const entry = nearest(domain, limitOf);
  if (entry !== undefined) return { entry, who: `senders of ${entry.from}` };
  const any = limitOf('*');
  return any && { entry: any, who: `senders of ${domain}` };
}
