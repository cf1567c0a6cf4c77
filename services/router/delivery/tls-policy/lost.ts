import { BoundedMap } from '#shared/bounded-map.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import type { LostTls } from '#shared/mail/tls.ts';

/**
 * Destinations that had TLS before and offer none now: told in the log when it is found and now and then, and kept for the
 * status of this router until TLS is back.
 */

const MOST = 1000;

export class LostDestinations {
  readonly #lost = new BoundedMap<string, LostTls>(MOST);
  readonly #said = new LimitedLog();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  note(domain: string, host: string, mail: LostTls['mail']): void {
    const since = this.#lost.get(domain)?.since ?? Date.now();
    this.#lost.set(domain, { domain, host, since, mail });
    this.#said.say(domain, (repeated) =>
      this.#log.warn(
        { domain, host, mail, ...repeated },
        `a destination had TLS before and offers none now: its mail ${mail === 'waits' ? 'waits' : 'is sent in clear text'} (delivery.tls-lost)`,
      ),
    );
  }

  regained(domain: string): void {
    const lost = this.#lost.get(domain);
    if (lost === undefined) return;
    this.#lost.delete(domain);
    this.#log.info({ domain, host: lost.host }, 'a destination has TLS again');
  }

  get list(): LostTls[] {
    return [...this.#lost.values()];
  }
}
