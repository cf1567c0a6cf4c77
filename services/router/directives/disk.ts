import type { Store } from '#cluster/store.ts';
import { Directive } from '#shared/directive.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { keys, parseRecord, putJson } from '../store/records.ts';
import { readable } from '../store/recovery.ts';

/** The directives in the store of the queue: `directive!<kind>!<about>!<name>`. */

export class DirectiveDisk {
  readonly #store: Store;
  readonly #log: Logger;

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** All records. A damaged one is told and left out: the other routers have it. */
  async load(): Promise<Directive[]> {
    const records: Directive[] = [];
    for await (const [key, value] of readable(this.#store, 'directive', this.#log)) {
      try {
        records.push(parseRecord(Directive, key, value));
      } catch (error) {
        this.#log.warn({ key, error: errorText(error) }, 'a directive of an operator cannot be read: it is left out');
      }
    }
    return records;
  }

  /** Rejects as the store does. */
  write(records: readonly Directive[]): Promise<void> {
    return this.#store.write(records.map((record) => putJson(keyOf(record), record)));
  }

  remove(records: readonly Directive[]): Promise<void> {
    return this.#store.write(records.map((record) => ({ type: 'del', key: keyOf(record) })));
  }
}

const keyOf = ({ kind, about, name }: Directive): string => keys.directive(`${kind}!${about}!${name}`);
