import type { Logger } from '#shared/log.ts';
import { isExposed } from '../life/life-cycle.ts';
import type { DomainRecord } from '../records/domain-record.ts';
import type { Timer } from './waits.ts';

/** Between two lines about a domain. */
const ALARM_MS = 600_000;

/** Logs compromised keys that stay in DNS again and again: what was written once is soon out of sight. */
export class Alarm {
  readonly #log: Logger;
  readonly #timer: Pick<Timer, 'now'>;
  /** When a domain may be logged again. */
  readonly #next = new Map<string, number>();

  constructor(log: Logger, timer: Pick<Timer, 'now'>) {
    this.#log = log;
    this.#timer = timer;
  }

  /** A transition of these keys was not made, for this reason. */
  failed({ domain, keys }: DomainRecord, selectors: readonly string[], error: string): void {
    const exposed = keys.some((k) => selectors.includes(k.selector) && isExposed(k, undefined));
    if (!exposed || this.#timer.now() < (this.#next.get(domain) ?? 0)) return;
    this.#next.set(domain, this.#timer.now() + ALARM_MS);
    this.#log.error({ domain, selectors, error }, 'a compromised key is still in DNS: forged mail passes');
  }
}
