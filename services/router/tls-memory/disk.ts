import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { TlsRecord } from '#shared/mail/tls-memory.ts';
import { keys, parseRecord, putJson, rangeOf } from '../store/records.ts';
import { readable } from '../store/recovery.ts';
import { keyOf, type TlsKey } from './entries.ts';

/** The copy of the memory in the store of the queue: `tls!<kind>!<name>`. */

const BATCH = 500;
/** Keys that one call passes over. */
const MOST_KEYS = 20_000;

export class MemoryDisk {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #damaged = new LimitedLog();

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** All records, those that were learned first at the head. A damaged one is told and left out. */
  async load(): Promise<TlsRecord[]> {
    const records: TlsRecord[] = [];
    let read = 0;
    for await (const [key, value] of readable(this.#store, 'tls', this.#log)) {
      if (++read % BATCH === 0) await nextTurn();
      try {
        const record = parseRecord(TlsRecord, key, value);
        if (keys.tls(keyOf(record)) === key) records.push(record);
      } catch (error) {
        this.sayUnusable(key, errorText(error));
      }
    }
    return records.sort((a, b) => a.at - b.at);
  }

  sayUnusable(key: string, error: string): void {
    this.#damaged.say('', (repeated) =>
      this.#log.warn({ key, error, ...repeated }, 'a record of the TLS of others cannot be used: it is left out'),
    );
  }

  /** Write what `find` has of each key, and delete where it has nothing. Rejects as the store does. */
  async write(changed: readonly TlsKey[], find: (key: TlsKey) => TlsRecord | undefined): Promise<void> {
    for (let n = 0; n < changed.length; n += BATCH) {
      const operations = changed.slice(n, n + BATCH).map((key): StoreOperation => {
        const record = find(key);
        return record === undefined ? { type: 'del', key: keys.tls(key) } : putJson(keys.tls(key), record);
      });
      await this.#store.write(operations);
    }
  }

  /**
   * Keys after `after` that `isWanted`, in their order, until `take` has enough; resolves to where to go on, undefined at the
   * end. Rejects as the store does.
   */
  async walk(
    after: string | undefined,
    isWanted: (name: string) => boolean,
    take: (key: TlsKey) => boolean,
  ): Promise<string | undefined> {
    const range = rangeOf('tls');
    let passed = 0;
    for await (const key of this.#store.keys(after === undefined ? range : { gt: keys.tls(after), lt: range.lt })) {
      const short = key.slice(keys.tls('').length) as TlsKey;
      const isEnough = isWanted(short.slice(short.indexOf('!') + 1)) && !take(short);
      if (isEnough || ++passed >= MOST_KEYS) return short;
    }
    return undefined;
  }
}
