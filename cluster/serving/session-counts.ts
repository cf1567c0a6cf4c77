import { clientNetwork } from '#shared/address/ip-address.ts';
import { newId } from '#shared/ids.ts';

export type SessionLimits = { sessions: number; 'sessions-per-client': number };
/** Which of the limits refuses a connection. */
export type Exceeded = keyof SessionLimits;

/**
 * Concurrent connections of clients, from accept to close: in total, and by client, which is an IPv4 address or a /64 of
 * IPv6. One that has not got as far as a session counts like any other.
 */
export class SessionCounts {
  /** Tells the counts of this process from those of others. */
  readonly instance = newId();
  /** Called with a client whose count has changed. */
  onChange: (client: string) => void = () => undefined;
  readonly #byClient = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** Clients with connections. */
  clients(): Iterable<string> {
    return this.#byClient.keys();
  }

  /** Connections of a client. */
  of(client: string): number {
    return this.#byClient.get(client) ?? 0;
  }

  /** What would refuse another connection of a client. */
  refusal(address: string, limits: SessionLimits): Exceeded | undefined {
    if (this.#total >= limits.sessions) return 'sessions';
    return this.of(clientNetwork(address)) >= limits['sessions-per-client'] ? 'sessions-per-client' : undefined;
  }

  /** Count a connection, or return what refuses it. */
  admit(limits: SessionLimits): Place | Exceeded {
    if (this.#total >= limits.sessions) return 'sessions';
    this.#total++;
    const count = (client: string, more: 1 | -1): void => {
      const open = this.of(client) + more;
      if (open === 0) this.#byClient.delete(client);
      else this.#byClient.set(client, open);
      this.onChange(client);
    };
    return new Place({ of: (client) => this.of(client), count, leave: () => this.#total-- });
  }
}

type Counting = { of(client: string): number; count(client: string, more: 1 | -1): void; leave(): void };

/** What a connection takes of the counts. */
export class Place {
  readonly #counting: Counting;
  #client: string | undefined;
  #released = false;
  /** Connections of the same client that were open when this one came. */
  others = 0;

  constructor(counting: Counting) {
    this.#counting = counting;
  }

  /** Say whose connection it is, once that is known. Returns what refuses it; the place is still to release. */
  claim(address: string, limits: SessionLimits): Exceeded | undefined {
    const client = clientNetwork(address);
    this.others = this.#counting.of(client);
    if (this.others >= limits['sessions-per-client']) return 'sessions-per-client';
    if (this.#released) return undefined;
    this.#client = client;
    this.#counting.count(client, 1);
    return undefined;
  }

  /** The connection is gone. May be called any number of times. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#counting.leave();
    if (this.#client !== undefined) this.#counting.count(this.#client, -1);
  }
}
