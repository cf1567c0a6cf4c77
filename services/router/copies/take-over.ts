import type { Settings } from '#cluster/config/settings.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { MOST_COPIES } from '../contract.ts';
import type { SearchIndex } from '../receipts/search-index.ts';
import { dueAt, isAsked, isFinal, loadedMessage, senderOf } from '../store/message.ts';
import { keys, MessageRecord, parseRecord, putJson, RecipientRecord } from '../store/records.ts';
import type { Slot } from '../store/slots.ts';
import { type Adopted, AdoptionBatch } from './adoption-batch.ts';
import type { Adoptions } from './adoptions.ts';
import { adopted, asPair, changePair, claim, leaseKey, type Pair, pairKey, parseKey } from './claims.ts';
import { Comparison } from './comparison.ts';
import type { HeldCopies } from './held-copies.ts';
import { Overtaken, type OvertakenDeps } from './overtaken.ts';

/**
 * What becomes of mail when its node dies, and when that comes back.
 *
 * As a holder: claim the pairs of owners whose lease ran out, move the copies of a claimed pair into the queue, delete
 * those that an owner gave up, and ask owners from time to time which copies they no longer need (comparison.ts). As an
 * owner: delete what a holder took over (overtaken.ts).
 *
 * Void copies whose owner never answers again are kept: mail that it had given nobody else is nowhere else. An operator who
 * says that its node is gone for good deletes them (`forget`).
 *
 * No mail is deleted because the claims alone say so: the other store is asked, and answers from its disk.
 *
 * Every step can be repeated: a claim is in the map before anything moves; copies move in batches, each message whole,
 * its own record in the last one; the end of it goes to disk (adoptions.ts) and into the map after that.
 */

const BATCH_BYTES = 1024 * 1024;
const BATCH_MESSAGES = 200;

export type TakeOverDeps = OvertakenDeps & {
  settings: Settings;
  index: SearchIndex;
  held: HeldCopies;
  adoptions: Adoptions;
  /** A message came into the queue that has no second copy. */
  onAdopted: (slot: Slot) => void;
};

export class TakeOver {
  readonly #deps: TakeOverDeps;
  readonly #comparison: Comparison;
  readonly #overtaken: Overtaken;
  #working: Promise<void> | undefined;
  #stopped = false;
  /** Copies that this disk cannot read. */
  readonly #damaged = new Set<string>();
  /** Messages since the start. */
  takenOver = 0;

  constructor(deps: TakeOverDeps) {
    this.#deps = deps;
    this.#comparison = new Comparison(deps);
    this.#overtaken = new Overtaken(deps);
  }

  /** Messages of this node since the start that another one took over. */
  get handedOver(): number {
    return this.#overtaken.count;
  }

  /** Take the steps that are due. Never rejects; a step that fails is repeated at a later call. */
  tick(): Promise<void> {
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  /** How many void copies there are of the mail of each node that is silent: it does not say whether it needs them. */
  orphans(): { node: string; copies: number }[] {
    const copies = new Map<string, number>();
    for (const { node, ids } of this.#orphaned()) copies.set(node, (copies.get(node) ?? 0) + ids.length);
    return [...copies].map(([node, count]) => ({ node, copies: count }));
  }

  /** Delete those of a node that is gone for good, as an operator says; resolves to how many they were. */
  async forget(node: string): Promise<number> {
    const { held, log } = this.#deps;
    let count = 0;
    for (const { owner, generation, ids } of this.#orphaned().filter((one) => one.node === node)) {
      for (let n = 0; n < ids.length; n += MOST_COPIES) {
        await held.drop(owner, generation, ids.slice(n, n + MOST_COPIES));
      }
      count += ids.length;
    }
    if (count > 0) log.warn({ owner: node, copies: count }, 'void copies of a node that is gone were deleted');
    return count;
  }

  #orphaned(): { owner: string; generation: number; node: string; ids: string[] }[] {
    const { held, map, own, watch } = this.#deps;
    return held.pairs().flatMap(({ owner, generation }) => {
      const pair = asPair(map.get(pairKey(owner, own))?.value);
      const node = watch.lease(owner)?.node;
      const isVoid = pair !== undefined && pair.generation > generation;
      if (!isVoid || node === undefined || watch.silent(owner) === undefined) return [];
      return [{ owner, generation, node, ids: held.ids(owner, generation) }];
    });
  }

  /** A message came into this node's queue after a holder had taken it over with the rest. */
  overtaken(slot: Slot): void {
    this.#overtaken.addLate(slot);
  }

  /** Take no further steps; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#comparison.stop();
    this.#overtaken.stop();
    await this.#working;
  }

  async #work(): Promise<void> {
    const { held, map, own } = this.#deps;
    for (const { owner, generation } of held.pairs()) {
      if (this.#stopped) return;
      await this.#step(() => this.#lookAfter(owner, generation));
    }
    for (const { key, value } of map.entries()) {
      const name = parseKey(key);
      const pair = asPair(value);
      if (name === undefined || !('owner' in name) || pair?.state !== 'claimed' || this.#stopped) continue;
      const { owner, holder } = name;
      if (owner === own && pair.adopted) await this.#step(() => this.#overtaken.look(holder, pair));
      // Claimed, and nothing of it is held (any more).
      if (holder === own && !pair.adopted && held.ids(owner, pair.generation).length === 0)
        await this.#step(() => this.#end(owner, pair.generation));
    }
  }

  async #step(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#deps.log.info({ error: errorText(error) }, 'a step of a take-over failed, it is tried again');
    }
  }

  async #lookAfter(owner: string, generation: number): Promise<void> {
    const { map, own, watch } = this.#deps;
    const pair = asPair(map.get(pairKey(owner, own))?.value);
    if (pair === undefined) return;
    // Void, as the claims say; deleted when the owner says so.
    if (pair.generation > generation) {
      await this.#comparison.look(owner, generation, { ended: true });
      return;
    }
    if (pair.state === 'claimed') {
      await this.#adopt(owner, pair);
      return;
    }
    const silent = watch.silent(owner);
    if (silent !== undefined) await this.#claim(owner, silent);
    else await this.#comparison.look(owner, generation);
  }

  /**
   * Claim a pair, unless its owner has renewed its lease meanwhile: the map calls the function with the newest state.
   */
  async #claim(owner: string, version: number): Promise<void> {
    const { map, own, watch, log } = this.#deps;
    const alive = new Error('the owner is live');
    try {
      await map.update(pairKey(owner, own), (record) => {
        if (map.get(leaseKey(owner))?.version !== version) throw alive;
        const before = asPair(record);
        const after = claim(before);
        return after === before ? record : after;
      });
    } catch (error) {
      if (error === alive) return;
      throw error;
    }
    const pair = asPair(map.get(pairKey(owner, own))?.value);
    if (pair?.state !== 'claimed') return;
    log.warn({ from: watch.lease(owner)?.node, store: owner }, 'a node is silent: this one takes over its mail');
    await this.#adopt(owner, pair);
  }

  async #adopt(owner: string, { generation }: Pair): Promise<void> {
    const { store, held, watch, log } = this.#deps;
    const from = watch.lease(owner)?.node ?? owner;
    if (held.ids(owner, generation).every((id) => this.#damaged.has(id))) return;
    // After this everything that was accepted before the claim is on disk.
    await store.write([]);
    const ids = held.ids(owner, generation);
    const unfinished = ids.filter((id) => !held.isComplete(owner, generation, id));
    const batch = new AdoptionBatch();
    let count = 0;
    const flush = async (): Promise<void> => {
      await store.persist(batch.operations);
      for (const message of batch.messages) {
        held.forget(owner, generation, message.id);
        this.#enqueue(message);
      }
      count += batch.messages.length;
      batch.clear();
    };
    for (const id of ids) {
      if (this.#stopped) throw stopping();
      if (!held.isComplete(owner, generation, id) || this.#damaged.has(id)) continue;
      const undo = batch.mark();
      try {
        await this.#move({ owner, generation, id, from }, batch, flush);
      } catch (error) {
        if (errorCode(error) !== 'store-damaged') throw error;
        undo();
        this.#damaged.add(id);
        log.error({ queueId: id, from, error: errorText(error) }, 'a copy cannot be read: its mail is not taken over');
      }
      if (batch.messages.length >= BATCH_MESSAGES || batch.bytes >= BATCH_BYTES) await flush();
    }
    await flush();
    await held.drop(owner, generation, unfinished);
    this.takenOver += count;
    if (count > 0) log.warn({ from, store: owner, messages: count }, 'mail was taken over from another node');
    // What cannot be read here may be whole at its owner, which would delete it then.
    if (ids.some((id) => this.#damaged.has(id))) return;
    await this.#end(owner, generation);
  }

  /** All that was held of a claimed pair is in the queue: the owner may delete its own. */
  async #end(owner: string, generation: number): Promise<void> {
    const { adoptions, held, map, own } = this.#deps;
    // A copy that this disk does not give back may be whole at its owner, which would delete it then.
    if (held.damage !== undefined) return;
    await adoptions.note(owner, generation);
    await changePair(map, pairKey(owner, own), (pair) => adopted(pair, generation));
  }

  /** Move one copy into a batch; pieces of a large one are written on the way. */
  async #move(
    { owner, generation, id, from }: { owner: string; generation: number; id: string; from: string },
    batch: AdoptionBatch,
    flush: () => Promise<void>,
  ): Promise<void> {
    const name = `${owner}.${generation}`;
    let record: MessageRecord | undefined;
    const recipients: RecipientRecord[] = [];
    for await (const [key, value] of this.#deps.held.records(owner, generation, id)) {
      batch.add({ type: 'del', key: keys.copy(name, id, key) });
      try {
        if (key === keys.message(id)) {
          record = { ...parseRecord(MessageRecord, key, value), takenOver: { from, at: Date.now() } };
          batch.add(putJson(key, record));
          continue;
        }
        if (key.startsWith('recipient!')) recipients.push(parseRecord(RecipientRecord, key, value));
      } catch (error) {
        // It is set aside, and reported, when its turn comes.
        this.#deps.log.error({ queueId: id, from, error: errorText(error) }, 'a copy that is taken over is damaged');
      }
      batch.add({ type: 'put', key, value });
      if (key.startsWith('body!') && batch.bytes >= BATCH_BYTES) await flush();
    }
    if (record !== undefined) batch.add(...this.#deps.index.addMessage(loadedMessage(id, record, recipients)));
    const left = recipients.flatMap(({ status }) => (isFinal(status) ? [] : [status]));
    const asked = record !== undefined && left.some((status) => isAsked(record, status));
    const due = asked ? 0 : Math.min(...left.map(dueAt));
    const sender = record === undefined ? 0 : senderOf(record, recipients[0]?.recipient.address ?? '');
    batch.messages.push({ id, due: Number.isFinite(due) ? due : 0, asked, held: record?.held === true, sender });
  }

  #enqueue({ id, due, asked, held, sender }: Adopted): void {
    const { slots, queue, onAdopted } = this.#deps;
    const slot = slots.add(id, held ? 'hold' : 'deferred', undefined, sender);
    onAdopted(slot);
    slot.forced = asked;
    if (!held) queue.schedule(slot, due, due > Date.now() ? 'deferred' : 'active');
  }
}

function stopping(): Error {
  return new Error('the router is stopping');
}
