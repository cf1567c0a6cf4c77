import type { Settings } from '#cluster/config/settings.ts';
import { neighbourhood } from '#shared/address/ip-address.ts';
import { userKey } from '#shared/directory/values.ts';
import type { Rate } from '#shared/units.ts';
import type { SharedCounts } from '../rates/shared-counts.ts';
import { failureKey, limitName, type Scope } from './failure-counts.ts';

/**
 * Failed authentications, counted over all sessions and nodes (rates/shared-counts.ts), and what they lead to: the reply to
 * each is held back (`delay`), and beyond a limit (`authentication.limits`) no password is looked at until the count has
 * gone down, or an operator lifts the lock (`locks.ts`). What is refused that way does not count.
 *
 * - of a user from a network: tight, holds for everybody
 * - of a network, whatever the user; of a user, whatever the network: for strangers. Where a user authenticated within the
 *   last week or more, the user is known (kept over restarts by known-log-ins.ts) and passes: guesses from elsewhere, or at
 *   others, must not shut users out.
 *
 * Behind the gateway of a container network may be anybody: there is no network then, only the user, and nobody is known.
 *
 * A user who does not exist counts as one who does, so that nothing is learned from an answer.
 */

/** Windows by which a user is known at a network: this one and the one before. */
const KNOWN_MS = 7 * 24 * 3_600_000;
const ONCE: Rate = { count: 1, per: KNOWN_MS };
/** A reply is held back for `authentication.delay`, and at a limit for so many times that. */
const MOST_DELAYS = 5;

/** A log-in: who wants to be whom, from where; undefined where the address tells nothing. */
export type LogIn = { user: string; network: string | undefined };

export class Failures {
  readonly #settings: Settings;
  readonly #counts: SharedCounts;

  constructor({ settings, counts }: { settings: Settings; counts: SharedCounts }) {
    this.#settings = settings;
    this.#counts = counts;
  }

  /** Whether this user authenticated from this network lately. */
  known(logIn: LogIn): boolean {
    return logIn.network !== undefined && this.#counts.wait(`log-ins ${pair(logIn)}`, ONCE) > 0;
  }

  /** Whose failures have reached their limit; undefined: nobody's whose limit holds for this log-in. */
  tooMany(logIn: LogIn): Scope | undefined {
    return this.#scopes(logIn).find((scope) => this.#counts.wait(failureKey(scope), this.#limit(scope)) > 0);
  }

  failed({ user, network }: LogIn): void {
    const scopes: Scope[] = network === undefined ? [{ user }] : [{ user, network }, { network }, { user }];
    for (const scope of scopes) this.#counts.add(failureKey(scope), this.#limit(scope).per);
  }

  /** For how many ms the reply to a failed log-in is held back: the longer, the nearer a limit is, at whatever node. */
  delay(logIn: LogIn): number {
    const near = this.#scopes(logIn).map((scope) => {
      const { count, per } = this.#limit(scope);
      return this.#counts.counted(failureKey(scope), per) / count;
    });
    const times = Math.min(MOST_DELAYS, Math.max(1, MOST_DELAYS * Math.max(...near)));
    return Math.round(this.#settings.current.authentication.delay * times);
  }

  succeeded(logIn: LogIn): void {
    if (logIn.network === undefined) return;
    // Once in each window is enough to be known in it and in the next.
    const key = `log-ins ${pair(logIn)}` as const;
    if (this.#counts.inWindow(key, KNOWN_MS) === 0) this.#counts.add(key, KNOWN_MS);
  }

  /** Whose limits hold for a log-in. */
  #scopes(logIn: LogIn): Scope[] {
    const { user, network } = logIn;
    if (network === undefined) return [{ user }];
    const tight: Scope = { user, network };
    return this.known(logIn) ? [tight] : [tight, { network }, { user }];
  }

  #limit(scope: Scope): Rate {
    return this.#settings.current.authentication.limits[limitName(scope)];
  }
}

/** `user` as the client spelled it; `address` of the client, and whether that is the gateway of a container network. */
export function logInOf(user: string, address: string, gateway = false): LogIn {
  return { user: userKey(user).slice(0, 255), network: gateway ? undefined : neighbourhood(address) };
}

function pair({ user, network }: LogIn): string {
  return `${network} ${user}`;
}
