import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '#shared/log.ts';

/**
 * The end of a process that an administrator takes out of the cluster for good, or for long.
 *
 *   serving → draining → drained
 *
 * draining: its queue, where it has one, goes to others, and its listener takes no more sessions. What is under way ends.
 *   Signers, policy and stores go on until the process ends, since mail that is under way needs them.
 * drained: nothing is left; whoever runs the process stops it.
 */

const LOOK_MS = 200;

export type DrainParts = {
  log: Logger;
  /** The queue of this process, where it has one. `begin` rejects with `no-router` when nobody is there to take it. */
  queue: { begin(): Promise<void>; isEmpty(): Promise<boolean> } | undefined;
  /** Called once when it has begun; resolves when nobody is served any more. */
  stopListening: () => Promise<void>;
};

export class Drain {
  readonly #parts: DrainParts;
  readonly #done = Promise.withResolvers<void>();
  #begun: Promise<void> | undefined;

  constructor(parts: DrainParts) {
    this.#parts = parts;
  }

  /** Resolves when nothing is left. */
  get drained(): Promise<void> {
    return this.#done.promise;
  }

  /** Begin; resolves when that is done, and again for whoever asks again. Rejects with `no-router`: nothing has changed. */
  begin(): Promise<void> {
    this.#begun ??= this.#begin().catch((error: unknown) => {
      this.#begun = undefined;
      throw error;
    });
    return this.#begun;
  }

  async #begin(): Promise<void> {
    const { log, queue } = this.#parts;
    await queue?.begin();
    log.warn('draining: this process hands over what it has, then ends');
    void this.#finish();
  }

  async #finish(): Promise<void> {
    const { log, queue, stopListening } = this.#parts;
    await stopListening().catch((error: unknown) => log.error({ err: error }, 'draining: the listener did not stop'));
    const isEmpty = async (): Promise<boolean> => {
      try {
        return queue === undefined || (await queue.isEmpty());
      } catch (error) {
        log.debug({ err: error }, 'draining: the queue did not say how it is');
        return false;
      }
    };
    while (!(await isEmpty())) await delay(LOOK_MS, undefined, { ref: false });
    this.#done.resolve();
  }
}
