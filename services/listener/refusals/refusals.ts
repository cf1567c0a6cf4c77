import { domainOf, isSameOrSubdomain, localPartOf, normalizeDomain } from '#shared/address/address.ts';
import { clientNetwork, parseIp } from '#shared/address/ip-address.ts';
import type { RefusalSearch, RefusedMail } from '../contract.ts';

/**
 * The last refusals of this process, for those who ask why a mail did not arrive. They lie in memory alone: a restart
 * forgets them, and the log has them still. A disk would be written as often as strangers like.
 *
 * Anybody can cause refusals, so their number and their bytes are bounded. What is refused alike again is counted, and
 * takes no more room. A client has a part of the room (of IPv6 each /64): beyond it its own oldest goes, so one that
 * hammers pushes nothing out but its own. Of all, the oldest go first; `since` says how far back nothing is missing for
 * want of room.
 */

export type NewRefusal = Omit<RefusedMail, 'at' | 'first' | 'count' | 'recipients'>;

export const REFUSALS_KEPT_MS = 86_400_000;
const MOST = 10_000;
const MOST_OF_CLIENT = 200;
const MOST_CHARACTERS = 8 * 1024 * 1024;
/** Of one refusal. */
const LONGEST = { address: 256, name: 255, reply: 400, why: 200, id: 250 };
const MOST_RECIPIENTS = 5;
const MOST_STEPS = 4;
const MOST_FILTERS = 10;

type Kept = { refusal: RefusedMail; network: string; characters: number };

export class Refusals {
  /** By what is alike in them, the last one at the end. */
  readonly #kept = new Map<string, Kept>();
  readonly #byClient = new Map<string, Set<string>>();
  readonly #now: () => number;
  #characters = 0;
  #complete: number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
    this.#complete = now();
  }

  add(given: NewRefusal): void {
    const now = this.#now();
    const { refusal, characters } = bounded(given, now);
    const network = clientNetwork(refusal.client.address);
    const key = keyOf(refusal, network);
    const known = this.#kept.get(key);
    if (known !== undefined) {
      this.#drop(key);
      refusal.first = known.refusal.first;
      refusal.count = known.refusal.count + 1;
    }
    this.#kept.set(key, { refusal, network, characters });
    this.#characters += characters;
    const own = this.#byClient.get(network);
    if (own === undefined) this.#byClient.set(network, new Set([key]));
    else if (own.add(key).size > MOST_OF_CLIENT) this.#drop(first(own));
    this.#makeRoom(now);
  }

  /** Newest first; `more`: there are more than `limit`. `since`: from when on all are here. Times are ms since 1970. */
  find(search: RefusalSearch, limit: number): { refusals: RefusedMail[]; more: boolean; since: number } {
    const oldest = this.#now() - REFUSALS_KEPT_MS;
    const isAskedFor = matcher(search);
    const found: RefusedMail[] = [];
    for (const { refusal } of [...this.#kept.values()].reverse()) {
      if (refusal.at < oldest) break;
      if (isAskedFor(refusal) && found.push(refusal) > limit) break;
    }
    const since = Math.max(this.#complete, oldest);
    return { refusals: found.slice(0, limit), more: found.length > limit, since };
  }

  #makeRoom(now: number): void {
    for (const [key, { refusal }] of this.#kept) {
      const isOver = refusal.at < now - REFUSALS_KEPT_MS;
      if (!isOver && this.#kept.size <= MOST && this.#characters <= MOST_CHARACTERS) return;
      if (!isOver) this.#complete = Math.max(this.#complete, refusal.at);
      this.#drop(key);
    }
  }

  #drop(key: string | undefined): void {
    const kept = key === undefined ? undefined : this.#kept.get(key);
    if (key === undefined || kept === undefined) return;
    this.#kept.delete(key);
    this.#characters -= kept.characters;
    const own = this.#byClient.get(kept.network);
    own?.delete(key);
    if (own?.size === 0) this.#byClient.delete(kept.network);
  }
}

function first(keys: ReadonlySet<string>): string | undefined {
  for (const key of keys) return key;
  return undefined;
}

/** Those that have it in common are counted together: the text of a reply may hold a number that grows. */
function keyOf({ step, from, to, reply, messageId, user }: RefusedMail, network: string): string {
  return JSON.stringify([network, step, from, to, reply?.code, reply?.enhanced, messageId, user]);
}

/** What is kept of a refusal, no text of it longer than there is room for. */
function bounded(given: NewRefusal, now: number): { refusal: RefusedMail; characters: number } {
  let characters = 0;
  /** A string of its own: a piece of a long line would keep the line in memory. */
  const own = (text: string, longest: number): string => {
    const piece = Buffer.from(text.length > longest ? `${text.slice(0, longest)}…` : text).toString();
    characters += piece.length;
    return piece;
  };
  const maybe = <Name extends string>(name: Name, text: string | undefined, longest: number) =>
    (text === undefined ? {} : { [name]: own(text, longest) }) as { [N in Name]?: string };
  const { client, reply, why, filters, to } = given;
  const { address, name, id } = LONGEST;
  const refusal: RefusedMail = {
    ...{ at: now, first: now, count: 1, listener: given.listener, step: own(given.step, 20) },
    client: {
      address: own(client.address, 50),
      ...maybe('name', client.name, name),
      ...maybe('helo', client.helo, name),
    },
    ...maybe('user', given.user, name),
    ...maybe('from', given.from, address),
    to: to.slice(0, MOST_RECIPIENTS).map((one) => own(one, address)),
    recipients: to.length,
    ...(reply !== undefined && { reply: { ...reply, text: own(reply.text, LONGEST.reply) } }),
    ...(why !== undefined && { why: why.slice(-MOST_STEPS).map((step) => own(step, LONGEST.why)) }),
    ...maybe('error', given.error, LONGEST.reply),
    ...(filters !== undefined && {
      filters: Object.fromEntries(
        Object.entries(filters)
          .slice(0, MOST_FILTERS)
          .map(([filter, said]) => [filter, own(said, LONGEST.why)]),
      ),
    }),
    ...(given.discarded && { discarded: true }),
    ...maybe('session', given.session, id),
    ...maybe('trace', given.trace, id),
    ...maybe('queueId', given.queueId, id),
    ...maybe('messageId', given.messageId, id),
  };
  return { refusal, characters };
}

function matcher({ client, party, id, domains, ...time }: RefusalSearch): (refusal: RefusedMail) => boolean {
  const { after = Number.NEGATIVE_INFINITY, before = Number.POSITIVE_INFINITY } = time;
  const own = domains && new Set(domains.map(normalizeDomain));
  const isOwn = (name: string | undefined): boolean => own?.has(normalizeDomain(domainOf(name ?? ''))) === true;
  const address = client === undefined ? undefined : plainAddress(client);
  const isParty = party === undefined ? undefined : partyMatcher(party);
  const named = id?.replace(/^<|>$/g, '');
  return (refusal) => {
    if (refusal.at < after || refusal.at >= before) return false;
    if (own !== undefined && ![refusal.from, refusal.user, ...refusal.to].some(isOwn)) return false;
    if (address !== undefined && plainAddress(refusal.client.address) !== address) return false;
    if (isParty !== undefined && ![refusal.from, refusal.user, ...refusal.to].some(isParty)) return false;
    if (named === undefined) return true;
    const { session, trace, queueId, messageId } = refusal;
    return [session, trace, queueId, messageId?.replace(/^<|>$/g, '')].includes(named);
  };
}

function plainAddress(text: string): string {
  return parseIp(text)?.toString() ?? text;
}

function partyMatcher(party: string): (name: string | undefined) => boolean {
  if (party.includes('@')) {
    const wanted = comparable(party);
    return (name) => name !== undefined && comparable(name) === wanted;
  }
  const domain = normalizeDomain(party);
  return (name) =>
    name !== undefined &&
    (name.includes('@') ? isSameOrSubdomain(normalizeDomain(domainOf(name)), domain) : name === party);
}

function comparable(address: string): string {
  return `${localPartOf(address).toLowerCase()}@${normalizeDomain(domainOf(address))}`;
}
