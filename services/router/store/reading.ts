import type { Snapshot } from '#cluster/snapshot.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { dueAt, isAsked, isFinal, type Message, senderOf } from './message.ts';
import type { CopyPlace, MessageRecord, RecipientRecord } from './records.ts';
import { queueIdOf, rangeOf } from './records.ts';
import { unseal } from './seal.ts';

/**
 * Reads what the queue has on disk: message, recipient and place records, each kind in the order of the queue ids, in step.
 * The digest of every record is checked here, its form when the message is loaded; bodies are not touched.
 */

/** The records of one message in sum: what is read is kept no longer than it takes to sum it up. */
export type Read = {
  id: string;
  /** Ms since 1970: when the first recipient that is left is due. */
  due: number;
  /** An operator has asked that it be tried now. */
  asked: boolean;
  held: boolean;
  /** Whose mail it is (message.ts). */
  sender: number;
  /** The key of the next hop that it may wait for unread; '': there is none. */
  hop: string;
  /** What is wrong with its records. */
  problem: string | undefined;
  /** There is nothing but the place of a copy: the message is not in the queue any more. */
  isGone: boolean;
  place: CopyPlace | undefined;
};

/**
 * The key of the next hop that a message with these recipients waits for, and may wait for unread when it is due (ms since 1970);
 * '': it has to be read then.
 */
export type KnownHop = (
  message: Pick<Message, 'id' | 'record'> & { recipients: readonly RecipientRecord[] },
  due: number,
) => string;

/** Which ids are read: those after one, up to another. */
export type Between = { after: string; until: string };

/** Every message of which there is a record, a page at a time. */
export async function* readMessages(
  snapshot: Snapshot,
  between: Between,
  { log, knownHop }: { log: Logger; knownHop: KnownHop },
): AsyncGenerator<Read[]> {
  const from = (kind: string): Records => new Records(snapshot, kind, between, log);
  const [messages, recipients, places] = [from('message'), from('recipient'), from('place')];
  try {
    let page: Read[] = [];
    for (;;) {
      for (const records of [messages, recipients, places]) if (records.isSpent) await records.turn();
      const id = [messages.id, recipients.id, places.id].reduce(least);
      if (id === undefined) break;
      const sum = new Sum(id, messages.take(id), knownHop);
      while (recipients.id === id) {
        sum.add(recipients.take(id));
        if (recipients.isSpent) await recipients.turn();
      }
      page.push(sum.read(places.place(id)));
      if (page.length < PAGE) continue;
      yield page;
      page = [];
    }
    yield page;
  } finally {
    await Promise.all([messages.close(), recipients.close(), places.close()]);
  }
}

/** So few that they are gone before garbage is collected twice: what survives that fills memory for long. */
const PAGE = 100;

function least(a: string | undefined, b: string | undefined): string | undefined {
  return a === undefined || (b !== undefined && b < a) ? b : a;
}

/** Sums the records of one message up. */
class Sum {
  readonly #id: string;
  readonly #record: MessageRecord | string | undefined;
  #count = 0;
  #due = Number.POSITIVE_INFINITY;
  #asked = false;
  #damaged: string | undefined;
  /** As `knownHop` of all recipients. */
  #hop: string | undefined;
  /** The address of its first recipient. */
  #first = '';

  readonly #knownHop: KnownHop;

  constructor(id: string, record: Entry | undefined, knownHop: KnownHop) {
    this.#id = id;
    this.#knownHop = knownHop;
    this.#record = record && readRecord<MessageRecord>(record);
  }

  add(recipient: Entry | undefined): void {
    if (recipient === undefined) return;
    this.#count++;
    const read = readRecord<RecipientRecord>(recipient);
    if (typeof read === 'string') this.#damaged = read;
    else {
      this.#first ||= read.recipient.address;
      if (isFinal(read.status)) return;
      this.#due = Math.min(this.#due, dueAt(read.status));
      if (typeof this.#record === 'object') this.#asked ||= isAsked(this.#record, read.status);
      const hop = this.#hopOf(read);
      this.#hop = this.#hop === undefined || this.#hop === hop ? hop : '';
    }
  }

  #hopOf(recipient: RecipientRecord): string {
    const record = this.#record;
    if (typeof record !== 'object') return '';
    const due = Math.max(dueAt(recipient.status), Date.now());
    return this.#knownHop({ id: this.#id, record, recipients: [recipient] }, due);
  }

  read(place: CopyPlace | undefined): Read {
    const record = this.#record;
    const isRead = typeof record === 'object';
    return {
      id: this.#id,
      due: this.#asked ? 0 : this.#due,
      asked: this.#asked,
      held: isRead && record.held,
      sender: isRead ? senderOf(record, this.#first) : 0,
      hop: this.#hop ?? '',
      problem: this.#problem(),
      isGone: record === undefined && this.#count === 0,
      place,
    };
  }

  #problem(): string | undefined {
    const record = this.#record;
    if (record === undefined) return 'it has recipients and no message record';
    if (typeof record === 'string') return record;
    if (this.#damaged !== undefined || this.#count === record.recipients) return this.#damaged;
    return `it has ${this.#count} of ${record.recipients} recipient records`;
  }
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
  #ended = false;

  constructor(snapshot: Snapshot, kind: string, { after, until }: Between, log: Logger) {
    const { gte } = rangeOf(kind);
    const range = { gt: after === '' ? gte : `${gte}${after}"`, lt: `${gte}${until}"` };
    this.#pages = snapshot.pages(range);
    this.#kind = kind;
    this.#log = log;
  }

  /** The queue id of the next record; undefined after the last one. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Whether there may be more, to `turn` to. */
  get isSpent(): boolean {
    return this.#id === undefined && !this.#ended;
  }

  async turn(): Promise<void> {
    this.#page = await this.#next();
    this.#at = 0;
    this.#ended = this.#page.length === 0;
    this.#look();
  }

  /** The next record, if it is one of this message. */
  take(id: string): Entry | undefined {
    if (this.#id !== id) return undefined;
    const entry = this.#page[this.#at++];
    this.#look();
    return entry;
  }

  /** Where the second copy of a message is; those that are in the same place share one object. */
  place(id: string): CopyPlace | undefined {
    const entry = this.take(id);
    if (entry === undefined) return undefined;
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

  #look(): void {
    const key = this.#page[this.#at]?.[0];
    this.#id = key === undefined ? undefined : queueIdOf(key);
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
