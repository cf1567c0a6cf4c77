import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Snapshot } from '#cluster/snapshot.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Corrupt } from './corrupt.ts';
import { reportDamage } from './damage.ts';
import { type Between, type KnownHop, type Read, readMessages } from './reading.ts';
import { keys, queueIdOf, rangeOf } from './records.ts';
import type { Slot, Slots } from './slots.ts';

/**
 * What a start finds on disk: the slots of the queue are made anew, what was never committed is deleted, and what is damaged
 * is set aside.
 *
 *   alone    nothing else uses the queue yet. The start waits for the end of the reading, but no longer than it must: a
 *            queue of a million takes half a minute. Only a damaged store is always read to its end: what has no record
 *            left is told from mail that is just coming by nothing else.
 *   beside   mail comes and goes. Read is what there was before that (the snapshot is of the time alone), so it does not
 *            matter what becomes of a message behind the place that the reading has reached. A message of which a copy is on
 *            another node waits for the end, because until then no other node is told what this one has.
 *   done     every message of the snapshot has its slot, or left while it was read.
 *
 * When the store fails while it is read, the snapshot is gone. Another one is made, of which only what is between the last
 * message read and the last one of the first snapshot counts, and has no slot yet: the rest came later, by its own way.
 */

/** Records deleted together. */
const BATCH = 1000;
/** How long a start waits for the end of the reading. */
const PATIENCE_MS = 1000;
const AGAIN_MS = 1000;

export type RecoveryDeps = { store: Store; slots: Slots; corrupt: Corrupt; knownHop: KnownHop; log: Logger };

/** A slot is to be looked at; `due`: ms since 1970. */
export type OnFound = (slot: Slot, due: number) => void;

export class Recovery {
  readonly #deps: RecoveryDeps;
  readonly #began = performance.now();
  readonly #found = { messages: 0, damaged: 0, unfinishedTransfers: 0 };
  readonly #copied: { slot: Slot; due: number }[] = [];
  #between: Between = { after: '', until: '~' };
  #onFound: OnFound = (slot, due) => this.#deps.slots.schedule.set(slot, performance.now() + due - Date.now());
  #reading: Promise<void> = Promise.resolve();
  #beside = false;
  #stopped = false;
  #done = false;

  constructor(deps: RecoveryDeps) {
    this.#deps = deps;
  }

  /** Whether every message has its slot. */
  get done(): boolean {
    return this.#done;
  }

  /** Read, and resolve when that is done or has taken `patienceMs`. Rejects where the store cannot be read. */
  async begin(patienceMs = PATIENCE_MS): Promise<void> {
    const { store, corrupt } = this.#deps;
    await corrupt.scan();
    this.#found.unfinishedTransfers = await removeUnfinished(store, this.#deps.log);
    const damaged = (await store.damage()).length > 0;
    this.#between = { after: '', until: await lastId(store) };
    this.#reading = this.#read(store.snapshot());
    // Once the start has gone on, `finish` hears of it.
    this.#reading.catch(() => undefined);
    if (damaged) await this.#reading;
    else await Promise.race([this.#reading, delay(patienceMs, undefined, { ref: false })]);
    if (this.#done) return;
    this.#beside = true;
    const { messages } = this.#found;
    this.#deps.log.info({ messages }, 'the queue is long: mail is taken and delivered while the rest of it is read');
  }

  /** What is found from now on goes there. Resolves to whether all was read; if not, `stop` came first. */
  async finish(onFound: OnFound): Promise<boolean> {
    this.#onFound = onFound;
    for (;;) {
      try {
        await this.#reading;
        break;
      } catch (error) {
        if (this.#stopped) break;
        const text = 'the queue cannot be read on: mail that was not read yet waits, it is tried again';
        this.#deps.log.warn({ ...this.#found, error: errorText(error) }, text);
        await delay(AGAIN_MS);
        this.#reading = this.#again();
      }
    }
    if (this.#done) for (const { slot, due } of this.#copied.splice(0)) this.#hand(slot, due);
    return this.#done;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#reading.catch(() => undefined);
  }

  async #again(): Promise<void> {
    if (!this.#stopped) await this.#read(this.#deps.store.snapshot());
  }

  async #read(snapshot: Snapshot): Promise<void> {
    const { store, slots, corrupt, log } = this.#deps;
    const places: string[] = [];
    try {
      for await (const page of readMessages(snapshot, this.#between, this.#deps)) {
        if (this.#stopped) return;
        for (const read of page) this.#take(read, places);
        this.#between = { ...this.#between, after: page.at(-1)?.id ?? this.#between.after };
        await nextTurn();
      }
      await forgetPlaces(store, places);
      if (!this.#beside) this.#found.damaged += await reportDamage(store, slots, corrupt, log);
    } finally {
      await snapshot.close();
    }
    this.#done = true;
    const ms = Math.round(performance.now() - this.#began);
    log.info({ ...slots.counts, ...this.#found, corrupt: corrupt.count, ms }, 'queue read');
  }

  #take({ id, due, asked, held, sender, hop, problem, isGone, place }: Read, places: string[]): void {
    const { slots, corrupt } = this.#deps;
    if (isGone) {
      // The place of a copy of a message that is not in the queue any more.
      places.push(id);
      return;
    }
    if (slots.get(id) !== undefined) return;
    if (problem !== undefined) {
      this.#found.damaged++;
      corrupt.setAside(id, new SealpostError('corrupt', problem));
      return;
    }
    this.#found.messages++;
    const slot = slots.add(id, held ? 'hold' : due > Date.now() ? 'deferred' : 'active', place, sender);
    if (held) return;
    slot.forced = asked;
    slots.setHop(slot, hop);
    if (place !== undefined && this.#beside) this.#copied.push({ slot, due });
    else this.#onFound(slot, due);
  }

  #hand(slot: Slot, due: number): void {
    if (this.#deps.slots.has(slot) && slot.state !== 'hold') this.#onFound(slot, due);
  }
}

/** The last queue id of which there is a record; one after or before all where that cannot be told, or there is none. */
async function lastId(store: Store): Promise<string> {
  let last = '';
  try {
    for (const kind of ['message', 'recipient', 'place'])
      for await (const key of store.keys({ ...rangeOf(kind), reverse: true, limit: 1 }))
        if (queueIdOf(key) > last) last = queueIdOf(key);
  } catch (error) {
    if (errorCode(error) !== 'store-damaged') throw error;
    return '~';
  }
  return last;
}

/** Delete the places of copies of messages that are not in the queue any more. */
async function forgetPlaces(store: Store, ids: readonly string[]): Promise<void> {
  for (let n = 0; n < ids.length; n += BATCH) {
    await store.write(ids.slice(n, n + BATCH).map((id) => ({ type: 'del', key: keys.place(id) })));
  }
}

/** Every entry of a kind that can be read, after a key; those that cannot are logged, and count as missing. */
export async function* readable(
  store: Store,
  kind: string,
  log: Logger,
  after?: string,
): AsyncGenerator<[string, Buffer]> {
  try {
    const range = rangeOf(kind);
    yield* store.entries(after === undefined ? range : { gt: after, lt: range.lt });
  } catch (error) {
    if (errorCode(error) !== 'store-damaged') throw error;
    log.error({ kind, error: errorText(error) }, 'some records of the queue cannot be read: they count as missing');
  }
}

/** Delete the pieces of transfers that were never committed, as far as they can be read. Returns how many there were. */
async function removeUnfinished(store: Store, log: Logger): Promise<number> {
  let count = 0;
  for await (const [mark] of readable(store, 'transfer', log)) {
    const id = queueIdOf(mark);
    const operations: StoreOperation[] = [];
    // A backup that was being restored had written recipients too (backup/queue-writer.ts).
    for (const kind of ['body', 'recipient'])
      for await (const [key] of readable(store, `${kind}!${id}`, log)) operations.push({ type: 'del', key });
    operations.push({ type: 'del', key: keys.transfer(id) });
    await store.write(operations);
    count++;
  }
  return count;
}
