import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { userKey } from '#shared/directory/values.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Clients } from '../reports/clients.ts';
import { allBlocks } from '../reports/people/blocks.ts';

/**
 * Who is blocked, for the sessions of people: policy refuses the next sign-in by password, and knows nothing of sessions. While no
 * store answers, what was known last holds.
 */

const LOOK_MS = 2000;

export class BlockedUsers {
  readonly #clients: Clients;
  readonly #log: Logger;
  #keys: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  constructor(clients: Clients, log: Logger) {
    this.#clients = clients;
    this.#log = log;
  }

  start(): void {
    void this.#look();
    this.#timer = setInterval(() => void this.#look(), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Whether somebody with one of these names is blocked. */
  has(names: readonly string[]): boolean {
    return names.some((name) => this.#keys.has(userKey(name)));
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const blocks = await allBlocks(this.#clients.client(credentialStoreContract));
      this.#keys = new Set(blocks.map(({ name }) => userKey(name)));
    } catch (error) {
      this.#log.debug({ error: errorText(error) }, 'who is blocked cannot be read: what was known last holds');
    } finally {
      this.#looking = false;
    }
  }
}
