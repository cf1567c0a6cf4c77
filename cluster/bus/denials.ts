import type { Denial } from './bus.ts';
import { permissionSubject } from './subjects.ts';

/**
 * What the server does not permit this process. Where the permissions of its user are older than its contracts, calls fail and
 * answers get lost with no more than a line in the log, so it is kept for those who look after the cluster.
 *
 * A subscription that is refused counts until it is accepted (`nats-connection.ts` tries again). Of what it may not publish
 * nothing tells that it may now: that counts for a while after each refusal.
 */

/** What to do where NATS does not permit what a contract needs. */
export const RENEW_PERMISSIONS =
  'its permissions may be older than this version of Sealpost: renew them ("sealpost cluster init" or "nats-config"), give them to every nats-server and reload it (SIGHUP)';

/** How long a refusal to publish counts. */
const PUBLISH_MS = 10 * 60_000;
/** Subjects that are kept: as many say enough. */
const MOST = 50;

type Refused = Omit<Denial, 'ago'> & { at: number };

export class Denials {
  readonly #refused = new Map<string, Refused>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add(operation: Denial['operation'], subject: string): void {
    const refused = { operation, subject: permissionSubject(subject), at: this.#now() };
    const key = keyOf(refused);
    if (this.#refused.size < MOST || this.#refused.has(key)) this.#refused.set(key, refused);
  }

  /** A subscription that was refused before is accepted. */
  accepted(subject: string): void {
    this.#refused.delete(keyOf({ operation: 'subscription', subject: permissionSubject(subject) }));
  }

  /** There is another connection, and another server may permit other things. */
  clear(): void {
    this.#refused.clear();
  }

  all(): Denial[] {
    const now = this.#now();
    for (const [key, { operation, at }] of this.#refused) {
      if (operation === 'publish' && now - at > PUBLISH_MS) this.#refused.delete(key);
    }
    return [...this.#refused.values()].map(({ at, ...refused }) => ({ ...refused, ago: Math.round(now - at) }));
  }
}

const keyOf = ({ operation, subject }: Pick<Denial, 'operation' | 'subject'>): string => `${operation} ${subject}`;
