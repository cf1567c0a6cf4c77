import { setTimeout as delay } from 'node:timers/promises';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

/**
 * The end of a process that an administrator takes out of the cluster for good, or for a long time.
 *
 *   serving → draining → drained
 *
 * draining: its queue, where it has one, goes to other nodes, and its listener takes no more sessions. What is under way
 *   ends. Signer, policy and credential-store go on until the process ends, because mail that is under way needs them.
 * drained: nothing is left; the process is to be stopped.
 */

const LOOK_MS = 200;

export type DrainDeps = {
  log: Logger;
  /** The queue of this process, where it has one. `begin` rejects with `no-router` when no other router can take it. */
  queue: { begin(): Promise<void>; isEmpty(): Promise<boolean> } | undefined;
  /** Called once, after the drain has begun; resolves when no session is left. */
  stopListening: () => Promise<void>;
};

export class Drain {
  readonly #deps: DrainDeps;
  readonly #done = Promise.withResolvers<void>();
  #begun: Promise<void> | undefined;

  constructor(deps: DrainDeps) {
    this.#deps = deps;
  }

  /** Resolves when nothing is left. */
  get drained(): Promise<void> {
    return this.#done.promise;
  }

  /** Begin; resolves when the drain has begun, for each caller. Rejects with `no-router`: nothing has changed. */
  begin(): Promise<void> {
    this.#begun ??= this.#begin().catch((error: unknown) => {
      this.#begun = undefined;
      throw error;
    });
    return this.#begun;
  }

  async #begin(): Promise<void> {
    const { log, queue } = this.#deps;
    await queue?.begin();
    log.warn('draining: this process hands its work over to others, then ends');
    void this.#finish();
  }

  async #finish(): Promise<void> {
    const { log, queue, stopListening } = this.#deps;
    await stopListening().catch((error: unknown) =>
      log.error({ error: errorText(error) }, 'draining: the listener did not stop'),
    );
    const isEmpty = async (): Promise<boolean> => {
      try {
        return queue === undefined || (await queue.isEmpty());
      } catch (error) {
        log.debug({ error: errorText(error) }, 'draining: could not find out whether the queue is empty');
        return false;
      }
    };
    while (!(await isEmpty())) await delay(LOOK_MS, undefined, { ref: false });
    this.#done.resolve();
  }
}
