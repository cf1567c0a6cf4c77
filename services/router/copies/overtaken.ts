import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Queue } from '../queue/queue.ts';
import { keys, rangeOf } from '../store/records.ts';
import type { Slot, Slots } from '../store/slots.ts';
import { type ClaimRecord, changePair, disowned, dropped, type Pair, pairKey } from './claims.ts';
import type { LeaseWatch } from './lease-watch.ts';

/**
 * Mail of this node that a holder took over, and that this node deletes therefore.
 *
 * That it was taken over is in the claims, where anybody may have written it who can write into their stream. So the
 * holder is asked first, at its node, and answers from its disk (adoptions.ts):
 *
 *   it took everything over          the mail is deleted, and the pair dropped
 *   it still has copies to take      it is asked again; meanwhile nobody but the holder delivers them
 *   it does not answer               the same
 *   it has nothing and took nothing, the pair is closed, and this node delivers the mail; where the holder had
 *   or its disk is gone              delivered some of it before it lost its disk, that comes twice
 */

const BATCH_MESSAGES = 200;
/** How soon a holder is asked again that has not finished, and one that did not answer. */
const AGAIN_MS = 1000;
const SILENT_AGAIN_MS = 10_000;

export type OvertakenDeps = {
  log: Logger;
  own: string;
  store: Store;
  slots: Slots;
  queue: Queue;
  map: ReplicatedMap<ClaimRecord>;
  watch: LeaseWatch;
  router: Calls<'router', 'router'>;
};

export class Overtaken {
  readonly #deps: OvertakenDeps;
  /** Messages that came into the queue after the rest of their pair was deleted. */
  readonly #late = new Set<Slot>();
  /** When each holder may be asked again, by `performance.now`. */
  readonly #due = new Map<string, number>();
  /** The generation of each holder that was reported as not confirmed. */
  readonly #reported = new Map<string, number>();
  #stopped = false;
  /** Messages deleted since the start. */
  count = 0;

  constructor(deps: OvertakenDeps) {
    this.#deps = deps;
  }

  addLate(slot: Slot): void {
    this.#late.add(slot);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** A pair of this owner that is claimed and adopted, as the claims say: do what its holder says. */
  async look(holder: string, { generation, dropped: done }: Pair): Promise<void> {
    const { slots, map, own, log } = this.#deps;
    for (const slot of this.#late) if (!slots.has(slot)) this.#late.delete(slot);
    if (done && ![...this.#late].some((slot) => isIn(slot, holder, generation))) return;
    if (performance.now() < (this.#due.get(holder) ?? 0)) return;
    switch (await this.#ask(holder, generation)) {
      case 'unknown':
        return;
      case 'nothing':
        await changePair(map, pairKey(own, holder), (pair) => disowned(pair, generation));
        log.error(
          { holder: this.#nodeOf(holder), store: holder },
          'a node did not take over what the claims say that it did: this one keeps its mail and delivers it',
        );
        return;
      case 'adopted':
        await this.#drop(holder, generation);
    }
  }

  async #ask(holder: string, generation: number): Promise<'adopted' | 'nothing' | 'unknown'> {
    const { router, own, watch } = this.#deps;
    const node = watch.lease(holder)?.node;
    if (node === undefined) return 'unknown';
    this.#due.set(holder, performance.now() + AGAIN_MS);
    try {
      const { adopted, held } = await router['copy-adopted']({ owner: own, holder, generation }, { node });
      if (adopted) return 'adopted';
      return held === 0 ? 'nothing' : 'unknown';
    } catch (error) {
      if (errorCode(error) === 'other-store') return 'nothing';
      this.#due.set(holder, performance.now() + SILENT_AGAIN_MS);
      this.#report(holder, generation, errorText(error));
      return 'unknown';
    }
  }

  /** Once for each take-over. */
  #report(holder: string, generation: number, error: string): void {
    if (this.#reported.get(holder) === generation) return;
    this.#reported.set(holder, generation);
    this.#deps.log.warn(
      { holder: this.#nodeOf(holder), error },
      'another node is said to have taken mail over and does not confirm it: the mail waits here for that; if its disk is lost, start a router of its name with an empty one, and this node delivers the mail; if it was delivered there, remove it with "sealpost queue remove"',
    );
  }

  /** Delete what a holder took over, whatever is under way. */
  async #drop(holder: string, generation: number): Promise<void> {
    const { slots, log, own, map } = this.#deps;
    let count = 0;
    let underWay = 0;
    let batch: Slot[] = [];
    // Until it is deleted it is not delivered either: the pair is claimed. Copies of other generations are void.
    for (const slot of slots.all()) {
      if (!isIn(slot, holder, generation)) continue;
      if ((slot.message?.busy ?? 0) > 0) underWay++;
      if (batch.push(slot) < BATCH_MESSAGES) continue;
      if (this.#stopped) throw new Error('the router is stopping');
      count += await this.#delete(batch);
      batch = [];
    }
    count += await this.#delete(batch);
    this.count += count;
    if (count > 0) {
      log.warn(
        { to: this.#nodeOf(holder), messages: count, underWay },
        'mail was taken over by another node: this one has deleted it',
      );
    }
    await changePair(map, pairKey(own, holder), (pair) => dropped(pair, generation));
  }

  /** Take messages out of the queue. Resolves to how many there were, when their records are deleted. */
  async #delete(gone: readonly Slot[]): Promise<number> {
    const { slots, queue, store } = this.#deps;
    const present = gone.filter((slot) => slots.has(slot));
    for (const slot of present) queue.remove(slot, slot.message);
    const operations: StoreOperation[] = [];
    for (const { id } of present) {
      for (const key of [keys.message(id), keys.place(id)]) operations.push({ type: 'del', key });
      for (const kind of ['recipient', 'body'])
        for await (const key of store.keys(rangeOf(`${kind}!${id}`))) operations.push({ type: 'del', key });
    }
    if (operations.length > 0) await store.persist(operations);
    return present.length;
  }

  #nodeOf(holder: string): string {
    return this.#deps.watch.lease(holder)?.node ?? holder;
  }
}

function isIn({ copy }: Slot, holder: string, generation: number): boolean {
  return copy?.store === holder && copy.generation === generation;
}
