import { setTimeout as delay } from 'node:timers/promises';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Slots } from '../store/slots.ts';
import { type ClaimRecord, changePair, claim, pairKey } from './claims.ts';
import type { CopySender } from './copy-sender.ts';
import type { OwnLease } from './own-lease.ts';
import type { Pairs } from './pairs.ts';

/**
 * A drain: the whole queue goes to other routers.
 *
 *   stopping → copying → releasing → done (→ copying, when mail of a dead node is taken over)
 *
 * stopping: no attempt begins; those under way end. copying: every message gets a copy, wherever another router takes
 * it. Without any it waits. releasing: as soon as a holder knows everything that happened on this node, this node
 * claims the pair for it; it moves
 *   the copies into its queue, and this node deletes its own (take-over.ts does both). Mail whose copy became void
 *   meanwhile goes back to copying.
 * done: nothing is left, and the lease says that there is nothing to take over.
 */

const POLL_MS = 100;

export type HandOverDeps = {
  log: Logger;
  store: Store;
  slots: Slots;
  map: ReplicatedMap<ClaimRecord>;
  own: string;
  sender: CopySender;
  pairs: Pairs;
  lease: OwnLease;
};

export class HandOver {
  readonly #deps: HandOverDeps;
  readonly #abort = new AbortController();
  done = false;

  constructor(deps: HandOverDeps) {
    this.#deps = deps;
  }

  /** Stop: what was not handed over stays in this queue. */
  abort(): void {
    this.#abort.abort();
  }

  async run(stopAttempts: () => Promise<void>): Promise<void> {
    const { log, lease } = this.#deps;
    const { signal } = this.#abort;
    const began = performance.now();
    await stopAttempts().catch((error: unknown) => log.error({ err: error }, 'draining: attempts could not be ended'));
    while (!signal.aborted) {
      try {
        const empty = await this.#round();
        if (empty && !this.done) {
          await lease.drained();
          log.info(
            { seconds: (performance.now() - began) / 1000 },
            'drained: the queue of this node is with other nodes',
          );
        }
        this.done = empty;
      } catch (error) {
        log.info({ error: errorText(error) }, 'draining: a step of handing the queue over failed, it is tried again');
      }
      await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One round of copying and releasing. Resolves to whether nothing is left. */
  async #round(): Promise<boolean> {
    const { slots, pairs, sender } = this.#deps;
    const left = [...slots.all()];
    if (left.length === 0) return pairs.inSync;
    for (const slot of left) {
      if (slot.copy !== undefined && pairs.isValid(slot.copy)) continue;
      slot.copy = undefined;
      sender.missing.add(slot);
    }
    if (sender.missing.size > 0) await sender.fill();
    if (left.some((slot) => slots.has(slot) && slot.copy === undefined)) return false;
    for (const holder of new Set(left.flatMap((slot) => slot.copy?.store ?? []))) await this.#release(holder);
    return false;
  }

  async #release(holder: string): Promise<void> {
    const { map, own, pairs } = this.#deps;
    if (pairs.pair(holder)?.state !== 'open' || !pairs.isInSync(holder)) return;
    await changePair(map, pairKey(own, holder), claim);
  }
}
