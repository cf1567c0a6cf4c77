import { clientNetwork } from '#shared/address/ip-address.ts';
import type { Reply } from '#shared/reply.ts';
import { TOO_MANY_FROM_CLIENT, TOO_MANY_SESSIONS } from '../replies.ts';

export type SessionLimits = { sessions: number; 'sessions-per-client': number };

/**
 * Concurrent connections over all listeners of this process, from accept to close: in total, and by client, which is an
 * IPv4 address or a /64 of IPv6. One that has not got as far as a session counts like any other.
 */
export class SessionCounts {
  readonly #byClient = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** Count a connection, or return the reply that refuses it. */
  admit(limits: SessionLimits): Place | Reply {
    if (this.#total >= limits.sessions) return TOO_MANY_SESSIONS;
    this.#total++;
    return new Place(this.#byClient, () => this.#total--);
  }
}

/** What a connection takes of the counts. */
export class Place {
  readonly #byClient: Map<string, number>;
  readonly #leave: () => void;
  #client: string | undefined;
  #released = false;

  constructor(byClient: Map<string, number>, leave: () => void) {
    this.#byClient = byClient;
    this.#leave = leave;
  }

  /** Say whose connection it is, once that is known. Returns the reply that refuses it; the place is still to release. */
  claim(address: string, limits: SessionLimits): Reply | undefined {
    const client = clientNetwork(address);
    const others = this.#byClient.get(client) ?? 0;
    if (others >= limits['sessions-per-client']) return TOO_MANY_FROM_CLIENT;
    if (this.#released) return undefined;
    this.#client = client;
    this.#byClient.set(client, others + 1);
    return undefined;
  }

  /** The connection is gone. May be called any number of times. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#leave();
    if (this.#client === undefined) return;
    const left = (this.#byClient.get(this.#client) ?? 1) - 1;
    if (left === 0) this.#byClient.delete(this.#client);
    else this.#byClient.set(this.#client, left);
  }
}
