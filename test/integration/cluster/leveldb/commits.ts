import { writeSync } from 'node:fs';
import type { Range } from '#cluster/snapshot.ts';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { silentLogger } from '#shared/log.ts';

/**
 * A process that commits to a store, one operation after the other, and writes a line for each that is acknowledged:
 *
 *   node commits.ts <folder>
 *
 * Halfway it closes the store and opens it again, as a restart does.
 */

/** LevelDB's least: a log holds about 16 operations. */
const OPTIONS = { writeBufferSize: 64 * 1024, compression: false };
const OPERATIONS = 100;
const RESTART_AT = [40, 70];
/** Each entry is deleted this many operations after it was put. */
const LIFE = 25;

/** What the n-th commit does. */
export function commit(n: number): StoreOperation[] {
  const operations: StoreOperation[] = [{ type: 'put', key: key(n), value: value(n) }];
  if (n >= LIFE) operations.push({ type: 'del', key: key(n - LIFE) });
  return operations;
}

/** What is wrong with a store after `acknowledged` commits; the next one may have been done, whole. */
export async function problems(store: Store, acknowledged: number): Promise<string[]> {
  const found = new Map<string, Buffer>();
  for await (const [name, bytes] of store.entries({} satisfies Range)) found.set(name, bytes);
  const done = found.has(key(acknowledged)) ? acknowledged + 1 : acknowledged;
  const expected = Array.from({ length: done }, (_, n) => n).slice(Math.max(0, done - LIFE));
  const lost = expected.filter((n) => found.get(key(n))?.equals(value(n)) !== true).map((n) => `lost ${key(n)}`);
  const wanted = new Set(expected.map(key));
  return [...lost, ...[...found.keys()].filter((name) => !wanted.has(name)).map((name) => `came back: ${name}`)];
}

const key = (n: number): string => `key-${String(n).padStart(5, '0')}`;
const value = (n: number): Buffer => Buffer.alloc(4000, `value ${n} `);

async function main(folder: string): Promise<void> {
  let store = await Store.open(folder, silentLogger, OPTIONS);
  for (let n = 0; n < OPERATIONS; n++) {
    if (RESTART_AT.includes(n)) {
      await store.close();
      store = await Store.open(folder, silentLogger, OPTIONS);
    }
    await store.write(commit(n));
    writeSync(1, `${n}\n`);
  }
  await store.close();
}

if (process.argv[1] === import.meta.filename) await main(process.argv[2] ?? '');
