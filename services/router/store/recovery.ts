import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Corrupt } from './corrupt.ts';
import { reportDamage } from './damage.ts';
import { dueAt, isFinal } from './message.ts';
import type { CopyPlace, MessageRecord, RecipientRecord } from './records.ts';
import { keys, queueIdOf, rangeOf } from './records.ts';
import { unseal } from './seal.ts';
import type { Slots } from './slots.ts';

/**
 * What a start finds on disk. Messages and recipients are read once, in step, so that it takes the time of reading
 * them; bodies are not touched. The digest of every record is checked here, its form when the message is loaded.
 */

/** Records deleted together. */
const BATCH = 1000;

export type Found = { messages: number; damaged: number; unfinishedTransfers: number };

/** The recipients of one message in sum. `due`: ms since 1970, of the first one that is left. */
type Summary = { count: number; due: number; damaged: string | undefined };

/** Rebuild the slots from the store, delete what was never committed, set aside what is damaged. */
export async function recover(store: Store, slots: Slots, corrupt: Corrupt, log: Logger): Promise<Found> {
  await corrupt.scan();
  const unfinishedTransfers = await removeUnfinished(store, log);
  const found: Found = { messages: 0, damaged: 0, unfinishedTransfers };
  const damage = (id: string, reason: string): void => {
    found.damaged++;
    corrupt.setAside(id, new SealpostError('corrupt', reason));
  };
  const recipients = new Recipients(store, log);
  const places = await readPlaces(store, log);
  const now = Date.now();
  let read = 0;
  for await (const [key, value] of readable(store, 'message', log)) {
    if (++read % 1000 === 0) await nextTurn();
    const id = queueIdOf(key);
    for (const orphan of await recipients.before(id)) damage(orphan, 'it has recipients and no message record');
    const summary = await recipients.of(id);
    const record = readRecord<MessageRecord>(key, value);
    const reason = problem(record, summary);
    if (reason !== undefined || typeof record === 'string') {
      damage(id, reason ?? 'unreadable');
      continue;
    }
    const state = record.held ? 'hold' : summary.due > now ? 'deferred' : 'active';
    const slot = slots.add(id, state, places.get(id));
    places.delete(id);
    if (!record.held) slots.schedule.set(slot, performance.now() + summary.due - now);
    found.messages++;
  }
  for (const orphan of await recipients.before('~')) damage(orphan, 'it has recipients and no message record');
  await forgetPlaces(store, [...places.keys()]);
  found.damaged += await reportDamage(store, slots, corrupt, log);
  return found;
}

/** Delete the places of copies of messages that are not in the queue any more. */
async function forgetPlaces(store: Store, ids: readonly string[]): Promise<void> {
  for (let n = 0; n < ids.length; n += BATCH) {
    await store.write(ids.slice(n, n + BATCH).map((id) => ({ type: 'del', key: keys.place(id) })));
  }
}

/** Where the second copies are; messages with their copy in the same place share one object. */
async function readPlaces(store: Store, log: Logger): Promise<Map<string, CopyPlace>> {
  const places = new Map<string, CopyPlace>();
  const known = new Map<string, CopyPlace>();
  for await (const [key, value] of readable(store, 'place', log)) {
    const place = readRecord<CopyPlace>(key, value);
    if (typeof place === 'string') {
      log.warn(
        { key, error: place },
        'the record of where the second copy of a message is cannot be read: it gets another copy',
      );
      continue;
    }
    const name = `${place.store}.${place.generation}`;
    if (!known.has(name)) known.set(name, place);
    places.set(queueIdOf(key), known.get(name) ?? place);
  }
  return places;
}

function problem(record: MessageRecord | string, summary: Summary): string | undefined {
  if (typeof record === 'string') return record;
  if (summary.damaged !== undefined) return summary.damaged;
  if (summary.count !== record.recipients) return `it has ${summary.count} of ${record.recipients} recipient records`;
  return undefined;
}

/** The record, or what is wrong with it. */
function readRecord<T>(key: string, value: Buffer): T | string {
  try {
    return JSON.parse(unseal(key, value).toString()) as T;
  } catch (error) {
    return errorText(error);
  }
}

/** The recipient records, read in the order of their messages. */
class Recipients {
  readonly #entries: AsyncIterator<[string, Buffer]>;
  #next: [string, Buffer] | undefined;
  #started = false;

  constructor(store: Store, log: Logger) {
    this.#entries = readable(store, 'recipient', log)[Symbol.asyncIterator]();
  }

  /** The messages before `id` of which recipients were found. */
  async before(id: string): Promise<Set<string>> {
    const ids = new Set<string>();
    for (let entry = await this.#peek(); entry !== undefined; entry = await this.#advance()) {
      const owner = queueIdOf(entry[0]);
      if (owner >= id) break;
      ids.add(owner);
    }
    return ids;
  }

  async of(id: string): Promise<Summary> {
    const summary: Summary = { count: 0, due: Number.POSITIVE_INFINITY, damaged: undefined };
    for (let entry = this.#next; entry !== undefined; entry = await this.#advance()) {
      const [key, value] = entry;
      if (queueIdOf(key) !== id) break;
      summary.count++;
      const record = readRecord<RecipientRecord>(key, value);
      if (typeof record === 'string') summary.damaged = record;
      else if (!isFinal(record.status)) summary.due = Math.min(summary.due, dueAt(record.status));
    }
    return summary;
  }

  async #peek(): Promise<[string, Buffer] | undefined> {
    if (!this.#started) {
      this.#started = true;
      return this.#advance();
    }
    return this.#next;
  }

  async #advance(): Promise<[string, Buffer] | undefined> {
    const { value, done } = await this.#entries.next();
    this.#next = done === true ? undefined : value;
    return this.#next;
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
    for await (const [key] of readable(store, `body!${id}`, log)) operations.push({ type: 'del', key });
    operations.push({ type: 'del', key: keys.transfer(id) });
    await store.write(operations);
    count++;
  }
  return count;
}
