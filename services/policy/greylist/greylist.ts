import { createHash } from 'node:crypto';
import { canonicalAddress, mailboxKey } from '#shared/address/canonical-address.ts';
import { neighbourhood } from '#shared/address/ip-address.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { type GreylistRecord, MOST_TRIPLES } from '../contract.ts';

/**
 * Who has come back (RFC 6647): what this instance knows of the networks that clients come from (a /24 of IPv4, a /64 of
 * IPv6), by itself or from the others (`shared-greylist.ts`).
 *
 * A triple of network, sender and recipient is
 *
 *   unknown → (first attempt: deferred) waiting → (attempt after `delay`, within `window`: accepted) its network has passed
 *                                             → (`window` is over) unknown
 *
 * and a network that has passed passes with every triple, until no mail came from it for `keep`. Attempts before `delay`
 * is over change nothing.
 *
 * Triples can be made up, networks hardly. So triples are kept by network, and push out none of another one. A network
 * with `MOST_TRIPLES` waiting is a busy server or an attacker, and neither may shut out a neighbour: from then on it waits
 * as a whole (`full`), and whatever comes from it after `delay` passes. Networks that have passed have room of their own,
 * and so have those that wait by IPv4, of which nobody has as many as of IPv6.
 *
 * Times are of the wall clock, which all nodes share. One in the future, from a node whose clock is ahead, counts as now.
 */

/** Waiting networks of each family, and networks that have passed. */
const MOST_WAITING = 10_000;
const MOST_PASSED = 50_000;
/** A network that passes is noted again after this part of `keep`, an hour at most. */
const NOTE_AGAIN_MS = 3_600_000;

export type GreylistTimes = { delay: number; window: number; keep: number };

/** What is known of an attempt, and where that stands. */
export type Attempt = { network: string; triple: string } & (
  | { kind: 'passed' }
  | { kind: 'retried' }
  | { kind: 'first' }
  /** ms until an attempt would be accepted. */
  | { kind: 'early'; wait: number }
);

type Waiting = { full: number | undefined; triples: Map<string, number> };

export class Greylist {
  readonly #passed = new BoundedMap<string, number>(MOST_PASSED);
  readonly #waiting4 = new BoundedMap<string, Waiting>(MOST_WAITING);
  readonly #waiting6 = new BoundedMap<string, Waiting>(MOST_WAITING);
  readonly #now: () => number;

  /** `now`: ms since 1970. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** What an attempt is. Changes nothing. */
  look(client: string, reversePath: string, recipient: string, times: GreylistTimes): Attempt {
    const now = this.#now();
    const network = neighbourhood(client);
    const triple = tripleOf(reversePath, recipient);
    const passed = this.#passed.get(network);
    if (passed !== undefined && now - passed < times.keep) return { kind: 'passed', network, triple };
    const waiting = this.#waitingOf(network).get(network);
    const since = waiting?.triples.get(triple) ?? waiting?.full;
    if (since === undefined || now - since > times.window) return { kind: 'first', network, triple };
    const wait = Math.min(since, now) + times.delay - now;
    return wait > 0 ? { kind: 'early', network, triple, wait } : { kind: 'retried', network, triple };
  }

  /** An attempt was accepted. Returns whether that is news for the others. */
  accepted({ kind, network }: Attempt, { keep }: GreylistTimes): boolean {
    if (kind !== 'passed' && kind !== 'retried') return false;
    const passed = this.#passed.get(network) ?? Number.NEGATIVE_INFINITY;
    if (this.#now() - passed < Math.min(NOTE_AGAIN_MS, keep / 10)) return false;
    this.#pass(network, this.#now());
    return true;
  }

  /** An attempt was deferred for the greylist alone. Returns whether that is news for the others. */
  deferred({ kind, network, triple }: Attempt, { window }: GreylistTimes): boolean {
    if (kind !== 'first') return false;
    const now = this.#now();
    const waiting = this.#waits(network);
    for (const [other, since] of waiting.triples) if (now - since > window) waiting.triples.delete(other);
    if (waiting.full !== undefined && now - waiting.full > window) waiting.full = undefined;
    if (waiting.triples.size < MOST_TRIPLES) waiting.triples.set(triple, now);
    else waiting.full ??= now;
    return true;
  }

  /** What is known of a network, for others. */
  record(network: string): GreylistRecord {
    const waiting = this.#waitingOf(network).get(network);
    const triples = [...(waiting?.triples ?? [])].map(([triple, since]) => ({ triple, since }));
    return { network, passed: this.#passed.get(network), full: waiting?.full, triples };
  }

  /** Learn what others know of a network: of two times it passed the later, of two first attempts the earlier. */
  learn({ network, passed, full, triples }: GreylistRecord, { keep }: GreylistTimes): void {
    const now = this.#now();
    if (passed !== undefined && passed > (this.#passed.get(network) ?? Number.NEGATIVE_INFINITY)) {
      this.#pass(network, Math.min(passed, now));
    }
    if (full === undefined && triples.length === 0) return;
    if (now - (this.#passed.get(network) ?? Number.NEGATIVE_INFINITY) < keep) return;
    const waiting = this.#waits(network);
    if (full !== undefined) waiting.full = Math.min(full, waiting.full ?? now);
    for (const { triple, since } of triples) {
      const known = waiting.triples.get(triple);
      if (known === undefined && waiting.triples.size >= MOST_TRIPLES) continue;
      waiting.triples.set(triple, Math.min(since, known ?? now));
    }
  }

  /** Every network of which something is known, those that passed last. */
  *networks(): Iterable<string> {
    yield* this.#waiting4.keys();
    yield* this.#waiting6.keys();
    yield* this.#passed.keys();
  }

  #pass(network: string, at: number): void {
    this.#passed.set(network, at);
    this.#waitingOf(network).delete(network);
  }

  /** The waiting list of a network, made where there was none; now the last one to be forgotten. */
  #waits(network: string): Waiting {
    const all = this.#waitingOf(network);
    const waiting = all.get(network) ?? { full: undefined, triples: new Map() };
    all.set(network, waiting);
    return waiting;
  }

  #waitingOf(network: string): BoundedMap<string, Waiting> {
    return network.includes(':') ? this.#waiting6 : this.#waiting4;
  }
}

/** Sender and recipient as a short key: case does not count, and what strangers write takes no room. */
function tripleOf(reversePath: string, recipient: string): string {
  const text = [reversePath, recipient].map((address) => mailboxKey(canonicalAddress(address))).join('\n');
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}
