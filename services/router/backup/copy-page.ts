import type { Store } from '#cluster/store.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { keys, MessageRecord, numbered, parseRecord, queueIdOf } from '../store/records.ts';
import { unseal } from '../store/seal.ts';

/**
 * The mail of a queue as a backup keeps it: the records of each message without their seals, its recipients first, then the
 * pieces of its body, and its own record as the last. So a message of which the last one is missing has left the queue
 * while it was read, and is none.
 *
 * Nothing is held open between two pages: a backup that ends halfway leaves nothing behind, and a router that starts
 * anew answers the next page. Messages that come meanwhile are among them when their ids are behind the cursor.
 */
export type CopyPage = {
  records: { key: string; size: number }[];
  bytes: Buffer;
  /** Messages whose records are damaged, which are left out. */
  damaged: string[];
  next: string | undefined;
};

/** Bytes of a page, at most twice as many: NATS carries 1 MB. A record that is longer alone goes alone, as it came. */
const PAGE_BYTES = 256 * 1024;
/** Ids that are looked up together. */
const TOGETHER = 100;

/** The records after one, by its key; undefined: the first. Rejects with `store-failed`, or `store-damaged` as to the list of ids. */
export async function copyPage(store: Store, after: string | undefined): Promise<CopyPage> {
  const page = new Page(store);
  let id = after === undefined ? '' : queueIdOf(after);
  if (after !== undefined && after !== keys.message(id)) await page.add(id, after);
  while (!page.isFull) {
    const ids = await nextIds(store, id);
    if (ids.length === 0) return page.end(false);
    for (id of ids) {
      await page.add(id, undefined);
      if (page.isFull) break;
    }
  }
  return page.end(true);
}

class Page {
  readonly #store: Store;
  readonly #records: CopyPage['records'] = [];
  readonly #parts: Buffer[] = [];
  readonly #damaged = new Set<string>();
  #size = 0;
  isFull = false;

  constructor(store: Store) {
    this.#store = store;
  }

  end(more: boolean): CopyPage {
    const next = more ? this.#records.at(-1)?.key : undefined;
    return { records: this.#records, bytes: Buffer.concat(this.#parts), damaged: [...this.#damaged], next };
  }

  /** The records of a message after one of its keys, as far as there is room. */
  async add(id: string, after: string | undefined): Promise<void> {
    try {
      const all = await this.#keysOf(id);
      for (const key of after === undefined ? all : all.slice(all.indexOf(after) + 1)) {
        const sealed = await this.#store.get(key);
        if (sealed === undefined) throw missing(key);
        if (!this.#take(key, unseal(key, sealed))) return;
      }
    } catch (error) {
      if (!['corrupt', 'store-damaged'].includes(errorCode(error) ?? '')) throw error;
      // One that left the queue meanwhile took its records with it.
      if (await this.#isThere(id)) this.#damaged.add(id);
    }
  }

  /** Whether there is room for it. */
  #take(key: string, payload: Buffer): boolean {
    this.isFull ||= this.#size >= PAGE_BYTES || (this.#size > 0 && this.#size + payload.length > 2 * PAGE_BYTES);
    if (this.isFull) return false;
    this.#records.push({ key, size: payload.length });
    this.#parts.push(payload);
    this.#size += payload.length;
    return true;
  }

  async #keysOf(id: string): Promise<string[]> {
    const key = keys.message(id);
    const { recipients, chunks } = parseRecord(MessageRecord, key, await this.#store.get(key));
    return [
      ...Array.from({ length: recipients }, (_, n) => keys.recipient(id, n)),
      ...chunks.map((_, n) => keys.body(id, n)),
      key,
    ];
  }

  #isThere(id: string): Promise<boolean> {
    return this.#store.get(keys.message(id)).then(
      (found) => found !== undefined,
      () => true,
    );
  }
}

function missing(key: string): SealpostError {
  return new SealpostError('corrupt', `${key}: the record is missing`);
}

/** The next ids of the queue after one. */
async function nextIds(store: Store, id: string): Promise<string[]> {
  const ids: string[] = [];
  const from = id === '' ? keys.message('') : keys.message(id);
  for await (const key of store.keys({ gt: from, lt: 'message"', limit: TOGETHER })) ids.push(queueIdOf(key));
  return ids;
}

/** The keys that a record of a backup may have. */
export const COPIED_KEY = new RegExp(
  `^(?:message!([0-9A-Z]{16})|(?:recipient|body)!([0-9A-Z]{16})!\\d{${numbered(0).length}})$`,
);
