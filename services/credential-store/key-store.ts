import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { SigningKey } from '#services/credential-store/contract.ts';
import type { KeyName } from '#services/credential-store/key-name.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

/**
 * The keys on disk, wrapped, and the same in memory for reading. What `add` and `remove` have answered is synced.
 *
 *   key!<domain>!<selector>       JSON { version: 1, key: SigningKey, digest }, digest = SHA-256 of key's JSON, hex
 *   corrupt!key!<domain>!…        a record that did not read back, as it was found
 *   meta!revision                 count of changes, decimal; written in the batch of the change it counts
 *
 * A damaged record is reported and set aside once, at opening; the other keys work. The revision never goes back:
 * signers take any other number than theirs as news.
 */
const KEYS = { gte: 'key!', lt: 'key"' };
const REVISION = 'meta!revision';

const Stored = z.object({ version: z.literal(1), key: SigningKey, digest: z.string() });

/** The place of a key; keys are listed in the order of these. */
export const recordKey = (name: KeyName): string => `key!${name.domain}!${name.selector}`;

export class KeyStore {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #keys = new Map<string, SigningKey>();
  /** Names that a change under way holds; nobody else may change them until it is known how that ended. */
  readonly #busy = new Set<string>();
  #revision = 0;

  private constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Open the store in `folder` and read every key. Fails with `store-locked` or `store-failed`. */
  static async open(folder: string, log: Logger): Promise<KeyStore> {
    const keyStore = new KeyStore(await Store.open(folder, log), log);
    try {
      await keyStore.#load();
    } catch (error) {
      await keyStore.close();
      throw error;
    }
    return keyStore;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Every key, ordered by domain and selector. */
  all(): SigningKey[] {
    return [...this.#keys.keys()].sort().flatMap((k) => this.#keys.get(k) ?? []);
  }

  get(name: KeyName): SigningKey | undefined {
    return this.#keys.get(recordKey(name));
  }

  /** Take a name for a new key until `add` or `release`; false when it exists or somebody makes it just now. */
  reserve(name: KeyName): boolean {
    const key = recordKey(name);
    if (this.#keys.has(key) || this.#busy.has(key)) return false;
    this.#busy.add(key);
    return true;
  }

  release(name: KeyName): void {
    this.#busy.delete(recordKey(name));
  }

  /** Store a key whose name is reserved, and release the name. Fails with `store-failed`; then the key will not be there. */
  async add(key: SigningKey): Promise<void> {
    const name = recordKey(key);
    const digest = digestOf(key);
    const value = Buffer.from(JSON.stringify({ version: 1, key, digest } satisfies z.input<typeof Stored>));
    try {
      await this.#change({ type: 'put', key: name, value });
      this.#keys.set(name, key);
      this.#busy.delete(name);
    } catch (error) {
      void this.#undo(name);
      throw error;
    }
  }

  /** Fails with `not-found` or `store-failed`; after the latter the key is still there. */
  async remove(name: KeyName): Promise<void> {
    const key = recordKey(name);
    if (!this.#keys.has(key)) throw notFound(name);
    await this.#change({ type: 'del', key });
    this.#keys.delete(key);
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  async #change(operation: StoreOperation): Promise<void> {
    const revision = ++this.#revision;
    await this.#store.write([operation, { type: 'put', key: REVISION, value: Buffer.from(String(revision)) }]);
  }

  /** A failed write may be found on disk later: a key whose maker was told that it failed must not come up then. */
  async #undo(key: string): Promise<void> {
    try {
      await this.#store.persist([{ type: 'del', key }]);
    } catch (error) {
      this.#log.warn({ record: key, reason: errorText(error) }, 'the store closed before a failed key was removed');
    }
    this.#busy.delete(key);
  }

  async #load(): Promise<void> {
    for await (const [name, value] of this.#store.entries(KEYS)) {
      try {
        this.#keys.set(name, parseRecord(name, value));
      } catch (error) {
        await this.#setAside(name, value, errorText(error));
      }
    }
    const text = (await this.#store.get(REVISION))?.toString();
    if (text !== undefined && /^\d{1,15}$/.test(text)) this.#revision = Number(text);
    else if (text !== undefined || this.#keys.size > 0) {
      // The present in milliseconds is above every count of changes.
      this.#revision = Date.now();
      this.#log.error({ record: REVISION }, 'the revision of the keys is damaged: counting from the present time');
    }
  }

  async #setAside(name: string, value: Buffer, reason: string): Promise<void> {
    const [, domain, selector] = name.split('!');
    const text = 'key record damaged: set aside, the key does not sign; delete it from DNS and create another';
    this.#log.error({ domain, selector, record: `corrupt!${name}`, reason }, text);
    try {
      await this.#store.write([
        { type: 'put', key: `corrupt!${name}`, value },
        { type: 'del', key: name },
      ]);
    } catch (error) {
      this.#log.error({ record: name, reason: errorText(error) }, 'a damaged record could not be set aside');
    }
  }
}

export function notFound(name: KeyName): SealpostError {
  return new SealpostError('not-found', `${name.domain} has no key with selector ${name.selector}`);
}

function digestOf(key: unknown): string {
  return createHash('sha256').update(JSON.stringify(key)).digest('hex');
}

function parseRecord(name: string, value: Buffer): SigningKey {
  const json: unknown = JSON.parse(value.toString());
  const { key, digest } = Stored.parse(json);
  // The digest is over the JSON as it was written; what the schema let through may have fewer members.
  if (digestOf((json as { key: unknown }).key) !== digest) throw new Error('its digest does not match');
  if (recordKey(key) !== name) throw new Error(`it is about ${recordKey(key)}`);
  return key;
}
