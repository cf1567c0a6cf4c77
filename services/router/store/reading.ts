import type { Snapshot } from '#cluster/snapshot.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { dueAt, isFinal } from './message.ts';
import type { CopyPlace, MessageRecord, RecipientRecord } from './records.ts';
import { rangeOf } from './records.ts';
import { unseal } from './seal.ts';

/**
 * Reads what the queue has on disk: message, recipient and place records, each kind in the order of the queue ids, in step.
 * The digest of every record is checked here, its form when the message is loaded; bodies are not touched.
 */

/** The records of one message in sum. `record`: as text, what is wrong with it; undefined: there is none. */
export type Read = {
  id: string;
  record: MessageRecord | string | undefined;
  recipients: Summary;
  place: CopyPlace | undefined;
};

/** The recipients of one message in sum. `due`: ms since 1970, of the first one that is left. `first`: an address. */
type Summary = { count: number; due: number; damaged: string | undefined; first: string };

/** Which ids are read: those after one, up to another. */
export type Between = { after: string; until: string };

/** Every message of which there is a record, a page at a time. */
export async function* readMessages(snapshot: Snapshot, log: Logger, between: Between): AsyncGenerator<Read[]> {
  const from = (kind: string): Records => new Records(snapshot, kind, between, log);
  const [messages, recipients, places] = [from('message'), from('recipient'), from('place')];
  try {
    let page: Read[] = [];
    for (;;) {
      const ids = [await messages.id(), await recipients.id(), await places.id()].filter((id) => id !== undefined);
      const id = ids.length === 0 ? undefined : ids.reduce((least, other) => (other < least ? other : least));
      if (id === undefined) break;
      page.push(await readOne(id, messages, recipients, places));
      if (page.length < PAGE) continue;
      yield page;
      page = [];
    }
    yield page;
  } finally {
    await Promise.all([messages.close(), recipients.close(), places.close()]);
  }
}

const PAGE = 500;

async function readOne(id: string, messages: Records, recipients: Records, places: Records): Promise<Read> {
  const sum: Summary = { count: 0, due: Number.POSITIVE_INFINITY, damaged: undefined, first: '' };
  const entry = await messages.take(id);
  const record = entry && readRecord<MessageRecord>(entry);
  for (let next = await recipients.take(id); next !== undefined; next = await recipients.take(id)) {
    sum.count++;
    const read = readRecord<RecipientRecord>(next);
    if (typeof read === 'string') sum.damaged = read;
    else {
      sum.first ||= read.recipient.address;
      if (!isFinal(read.status)) sum.due = Math.min(sum.due, dueAt(read.status));
    }
  }
  const place = await places.take(id);
  return { id, record, recipients: sum, place: place && places.place(place) };
}

type Entry = [string, Buffer];

/** The record, or what is wrong with it. */
function readRecord<T>([key, value]: Entry): T | string {
  try {
    return JSON.parse(unseal(key, value).toString()) as T;
  } catch (error) {
    return errorText(error);
  }
}

/** The records of one kind, one after the other. Those that cannot be read are logged, and count as missing. */
class Records {
  readonly #pages: AsyncGenerator<Entry[]>;
  readonly #kind: string;
  readonly #log: Logger;
  readonly #places = new Map<string, CopyPlace>();
  #page: Entry[] = [];
  #at = 0;
  #id: string | undefined;

  constructor(snapshot: Snapshot, kind: string, { after, until }: Between, log: Logger) {
    const { gte } = rangeOf(kind);
    const range = { gt: after === '' ? gte : `${gte}${after}"`, lt: `${gte}${until}"` };
    this.#pages = snapshot.pages(range);
    this.#kind = kind;
    this.#log = log;
  }

  /** The queue id of the next record; undefined after the last one. */
  async id(): Promise<string | undefined> {
    if (this.#id !== undefined) return this.#id;
    if (this.#at >= this.#page.length) {
      this.#page = await this.#next();
      this.#at = 0;
    }
    this.#id = this.#page[this.#at]?.[0].split('!', 2)[1];
    return this.#id;
  }

  /** The next record, if it is one of this message. */
  async take(id: string): Promise<Entry | undefined> {
    if ((this.#id ?? (await this.id())) !== id) return undefined;
    this.#id = undefined;
    return this.#page[this.#at++];
  }

  /** Where a second copy is; those that are in the same place share one object. */
  place(entry: Entry): CopyPlace | undefined {
    const place = readRecord<CopyPlace>(entry);
    if (typeof place === 'string') {
      this.#log.warn(
        { key: entry[0], error: place },
        'the record of where the second copy of a message is cannot be read: it gets another copy',
      );
      return undefined;
    }
    const name = `${place.store}.${place.generation}`;
    const known = this.#places.get(name) ?? place;
    this.#places.set(name, known);
    return known;
  }

  async close(): Promise<void> {
    await this.#pages.return(undefined);
  }

  async #next(): Promise<Entry[]> {
    try {
      const { value, done } = await this.#pages.next();
      return done === true ? [] : value;
    } catch (error) {
      if (errorCode(error) !== 'store-damaged') throw error;
      const fields = { kind: this.#kind, error: errorText(error) };
      this.#log.error(fields, 'some records of the queue cannot be read: they count as missing');
      return [];
    }
  }
}
