import type { Store } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { parseRecord } from '../../store/records.ts';

type Schema<T> = Parameters<typeof parseRecord>[0] & { _output: T };

/** Reads records of the reports. A damaged one is logged, and counts as missing. */
export class RecordReader {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #name: string;

  /** `name`: of the kind of report. */
  constructor(store: Store, log: Logger, name: string) {
    this.#store = store;
    this.#log = log;
    this.#name = name;
  }

  /** Rejects with `store-failed`. */
  async one<T>(schema: Schema<T>, key: string): Promise<T | undefined> {
    const value = await this.#get(key);
    return value && this.parse(schema, key, value);
  }

  /** Those that are there, by their keys. Rejects with `store-failed`. */
  async many<T>(schema: Schema<T>, keys: readonly string[]): Promise<Map<string, T>> {
    const unique = [...new Set(keys)];
    const values = await this.#getMany(unique);
    const records = new Map<string, T>();
    for (const [n, key] of unique.entries()) {
      const value = values[n];
      const record = value && this.parse(schema, key, value);
      if (record !== undefined) records.set(key, record);
    }
    return records;
  }

  parse<T>(schema: Schema<T>, key: string, value: Buffer): T | undefined {
    try {
      return parseRecord(schema, key, value) as T;
    } catch (error) {
      this.#sayDamaged(key, error);
      return undefined;
    }
  }

  /** All together; one by one where a part of the store is damaged, which hides no more than what is in it. */
  async #getMany(keys: string[]): Promise<(Buffer | undefined)[]> {
    try {
      return await this.#store.getMany(keys);
    } catch (error) {
      if (errorCode(error) !== 'store-damaged') throw error;
      const values: (Buffer | undefined)[] = [];
      for (const key of keys) values.push(await this.#get(key));
      return values;
    }
  }

  async #get(key: string): Promise<Buffer | undefined> {
    try {
      return await this.#store.get(key);
    } catch (error) {
      if (errorCode(error) !== 'store-damaged') throw error;
      this.#sayDamaged(key, error);
      return undefined;
    }
  }

  #sayDamaged(key: string, error: unknown): void {
    const text = `a record of the ${this.#name} reports is damaged: it counts as missing`;
    this.#log.error({ key, error: errorText(error) }, text);
  }
}
