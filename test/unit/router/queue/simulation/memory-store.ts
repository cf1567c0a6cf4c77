import type { Range } from '#cluster/snapshot.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Chance } from '#test/kit/simulation/chance.ts';
import type { Life } from './life.ts';

/**
 * A store as cluster/store.ts promises it, in memory: `disk` is what a crash leaves. Writes are committed in groups, each a few
 * ms later; at a crash, one that was not answered may be on the disk. While it fails, so may one that was refused.
 */

type Write = {
  operations: readonly StoreOperation[];
  persist: boolean;
  resolve: () => void;
  reject: (e: Error) => void;
};
type Entry = [string, Buffer];

const PAGE = 50;

export class MemoryStore {
  readonly #disk: Map<string, Buffer>;
  readonly #life: Life;
  readonly #chance: Chance;
  #waiting: Write[] = [];
  #writing: Write[] = [];
  failure: Error | undefined;
  #closed = false;

  constructor(disk: Map<string, Buffer>, life: Life, chance: Chance) {
    this.#disk = disk;
    this.#life = life;
    this.#chance = chance;
  }

  /** It takes the place of the store of a router. */
  get asStore(): Store {
    return this as unknown as Store;
  }

  write(operations: readonly StoreOperation[]): Promise<void> {
    return this.failure === undefined ? this.#enqueue(operations, false) : Promise.reject(refusal());
  }

  persist(operations: readonly StoreOperation[]): Promise<void> {
    return this.#closed ? Promise.reject(refusal()) : this.#enqueue(operations, true);
  }

  async get(key: string): Promise<Buffer | undefined> {
    return (await this.getMany([key]))[0];
  }

  async getMany(keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    if (this.failure !== undefined) throw refusal();
    const read = (): (Buffer | undefined)[] => keys.map((key) => this.#disk.get(key));
    const before = read();
    const isBefore = this.#chance.is(0.5);
    await this.#life.sleep(this.#chance.delay(2, 30));
    if (this.failure !== undefined) throw refusal();
    return isBefore ? before : read();
  }

  async *entries(range: Range): AsyncGenerator<Entry> {
    for await (const page of this.snapshot().pages(range)) yield* page;
  }

  async *keys(range: Range): AsyncGenerator<string> {
    for await (const [key] of this.entries(range)) yield key;
  }

  snapshot() {
    if (this.failure !== undefined) throw refusal();
    const disk = new Map(this.#disk);
    const pages = (range: Range): AsyncGenerator<Entry[]> => this.#pages(disk, range);
    return {
      pages,
      async *keyPages(range: Range): AsyncGenerator<string[]> {
        for await (const page of pages(range)) yield page.map(([key]) => key);
      },
      close: async (): Promise<void> => undefined,
    };
  }

  async compact(): Promise<void> {}

  async damage(): Promise<[]> {
    return [];
  }

  async close(): Promise<void> {
    while (this.#writing.length > 0 || (this.#waiting.length > 0 && this.failure === undefined))
      await this.#life.sleep(1);
    this.#closed = true;
    this.failure = new Error('closed');
    for (const { reject } of this.#waiting.splice(0)) reject(refusal());
  }

  fail(): void {
    if (this.failure !== undefined) return;
    this.failure = new Error('disk full');
    this.#takeSome();
    const all = [...this.#writing.splice(0), ...this.#waiting];
    this.#waiting = all.filter(({ persist }) => persist);
    for (const { persist, reject } of all) if (!persist) reject(refusal());
  }

  mend(): void {
    if (this.#closed) return;
    this.failure = undefined;
    this.#start();
  }

  /** The process dies: nothing is answered any more. */
  crash(): void {
    this.#takeSome();
  }

  async *#pages(disk: ReadonlyMap<string, Buffer>, range: Range): AsyncGenerator<Entry[]> {
    const { gt = '', gte = '', lt = '~', lte = '~', limit, reverse = false } = range;
    const keys = [...disk.keys()].filter((key) => key > gt && key >= gte && key < lt && key <= lte).sort();
    if (reverse) keys.reverse();
    for (let n = 0; n < Math.min(keys.length, limit ?? keys.length); n += PAGE) {
      await this.#life.sleep(1);
      if (this.failure !== undefined) throw refusal();
      yield keys
        .slice(n, Math.min(n + PAGE, limit ?? keys.length))
        .map((key) => [key, disk.get(key) ?? Buffer.alloc(0)]);
    }
  }

  #enqueue(operations: readonly StoreOperation[], persist: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operations, persist, resolve, reject });
      this.#start();
    });
  }

  #start(): void {
    if (this.#writing.length > 0 || this.#waiting.length === 0 || this.failure !== undefined) return;
    this.#writing = this.#waiting.splice(0, 1 + this.#chance.below(20));
    const group = this.#writing;
    this.#life.after(this.#chance.delay(10, 100), () => {
      if (this.#writing !== group || group.length === 0) return;
      this.#take(group);
      this.#writing = [];
      for (const { resolve } of group) resolve();
      this.#start();
    });
  }

  /** The group that is being written is one batch, and takes effect as a whole or not at all. */
  #takeSome(): void {
    if (this.#chance.is(0.5)) this.#take(this.#writing);
  }

  #take(group: readonly Write[]): void {
    for (const operation of group.flatMap(({ operations }) => operations)) {
      if (operation.type === 'put') this.#disk.set(operation.key, operation.value);
      else this.#disk.delete(operation.key);
    }
  }
}

function refusal(): SealpostError {
  return new SealpostError('store-failed', 'the store takes no writes');
}
