import { userKey } from '#cluster/config/users/values.ts';
import { neighbourhood } from '#shared/address/ip-address.ts';
import type { Rate } from '#shared/units.ts';
import type { SharedCounts } from '../rates/shared-counts.ts';

/**
 * Failed authentications, counted over all sessions and nodes (rates/shared-counts.ts), and what they lead to: beyond a
 * limit no password is looked at until the count has gone down. What is refused that way does not count.
 *
 * - of a user from a network: tight, holds for everybody
 * - of a network, whatever the user; of a user, whatever the network: for strangers. Where a user authenticated within the
 *   last two weeks he is known, and passes: guesses from elsewhere, or at others, must not shut him out.
 *
 * Behind the gateway of a container network may be anybody: there is no network then, only the user, and nobody is known.
 *
 * A user who does not exist counts as one who does, so that nothing is learned from an answer.
 */

const HOUR = 3_600_000;
const OF_USER_FROM_NETWORK: Rate = { count: 10, per: HOUR / 4 };
const OF_NETWORK: Rate = { count: 100, per: HOUR / 4 };
const OF_USER: Rate = { count: 100, per: HOUR };
/** Windows by which a user is known at a network: this one and the one before. */
const KNOWN_MS = 7 * 24 * HOUR;
const ONCE: Rate = { count: 1, per: KNOWN_MS };

/** A log-in: who wants to be whom, from where; undefined where the address tells nothing. */
export type LogIn = { user: string; network: string | undefined };

export class Failures {
  readonly #counts: SharedCounts;

  constructor(counts: SharedCounts) {
    this.#counts = counts;
  }

  /** Whether this user authenticated from this network lately. */
  known(logIn: LogIn): boolean {
    return logIn.network !== undefined && this.#counts.wait(`log-ins ${pair(logIn)}`, ONCE) > 0;
  }

  /** Which limit is reached, as words for the log; undefined: none. */
  tooMany(logIn: LogIn): string | undefined {
    const { user, network } = logIn;
    if (network !== undefined) {
      if (this.#over(`of ${pair(logIn)}`, OF_USER_FROM_NETWORK)) return `of this user from ${network}`;
      if (this.known(logIn)) return undefined;
      if (this.#over(`from ${network}`, OF_NETWORK)) return `from ${network}`;
    }
    return this.#over(`of ${user}`, OF_USER) ? 'of this user' : undefined;
  }

  failed(logIn: LogIn): void {
    const { user, network } = logIn;
    this.#counts.add(`failures of ${user}`, OF_USER.per);
    if (network === undefined) return;
    this.#counts.add(`failures of ${pair(logIn)}`, OF_USER_FROM_NETWORK.per);
    this.#counts.add(`failures from ${network}`, OF_NETWORK.per);
  }

  succeeded(logIn: LogIn): void {
    // Once in each window is enough to be known.
    if (logIn.network !== undefined && !this.known(logIn)) this.#counts.add(`log-ins ${pair(logIn)}`, KNOWN_MS);
  }

  #over(of: string, rate: Rate): boolean {
    return this.#counts.wait(`failures ${of}`, rate) > 0;
  }
}

/** `user` as the client spelled it; `address` of the client, and whether that is the gateway of a container network. */
export function logInOf(user: string, address: string, gateway = false): LogIn {
  return { user: userKey(user).slice(0, 255), network: gateway ? undefined : neighbourhood(address) };
}

function pair({ user, network }: LogIn): string {
  return `${network} ${user}`;
}
