import type { Calls } from '#services/topology.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { MOST_COPIES } from '../contract.ts';
import type { HeldCopies } from './held-copies.ts';
import type { LeaseWatch } from './lease-watch.ts';

/**
 * Asks owners from time to time which copies they no longer need: the call that said so may be lost with a process. The
 * sooner the better, for a copy of delivered mail that is still held is delivered again when its owner dies.
 */

/**
 * How soon a new pair is compared, how soon after a failure, and how often otherwise: a million copies every half hour.
 */
const SOON_MS = 5000;
const AGAIN_MS = 15_000;
const EVERY_MS = 60_000;
const EVERY_MS_PER_COPY = 2;

export type ComparisonDeps = {
  log: Logger;
  own: string;
  watch: LeaseWatch;
  held: HeldCopies;
  router: Calls<'router', 'router'>;
};

export class Comparison {
  readonly #deps: ComparisonDeps;
  /** When each pair is due, by `performance.now`. */
  readonly #due = new Map<string, number>();
  #stopped = false;

  constructor(deps: ComparisonDeps) {
    this.#deps = deps;
  }

  stop(): void {
    this.#stopped = true;
  }

  /**
   * Delete the copies that their owner no longer needs, if it is time to ask; an owner that does not answer is asked
   * later. Of a generation that has `ended` all are deleted when its node says that the owner's disk is gone; of any other
   * one these copies are then all that there is.
   */
  async look(owner: string, generation: number, of: { ended: boolean } = { ended: false }): Promise<void> {
    const { held, router, watch, own, log } = this.#deps;
    const name = `${owner}.${generation}`;
    const now = performance.now();
    const due = this.#due.get(name);
    if (due === undefined) this.#due.set(name, now + SOON_MS);
    const node = watch.lease(owner)?.node;
    if (due === undefined || now < due || node === undefined) return;
    this.#due.set(name, now + AGAIN_MS);
    const ids = held.ids(owner, generation);
    let count = 0;
    for (let n = 0; n < ids.length && !this.#stopped; n += MOST_COPIES) {
      try {
        const page = ids.slice(n, n + MOST_COPIES);
        // A copy that is sent again while the call is under way is not the one that was asked about.
        const asked = held.now;
        const { gone } = await router['copy-compare']({ owner, holder: own, generation, ids: page }, { node });
        await held.drop(owner, generation, gone, asked);
        count += gone.length;
      } catch (error) {
        if (of.ended && errorCode(error) === 'other-store') {
          await held.drop(owner, generation, ids);
          log.info({ owner: node, copies: ids.length }, 'void copies of a store that is gone were deleted');
          return;
        }
        log.debug(
          { owner: node, code: errorCode(error), error: errorText(error) },
          'copies could not be compared with their owner, it is tried again',
        );
        return;
      }
    }
    if (count > 0) log.info({ owner: node, copies: count }, 'copies that their owner no longer needs were deleted');
    this.#due.set(name, performance.now() + EVERY_MS + EVERY_MS_PER_COPY * ids.length);
  }
}
