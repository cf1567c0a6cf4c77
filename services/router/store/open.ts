import { join, resolve as resolvePath } from 'node:path';
import type { Settings } from '#cluster/config/settings.ts';
import type { StoreOptions } from '#cluster/level.ts';
import { Store } from '#cluster/store.ts';
import type { Logger } from '#shared/log.ts';
import { Bodies } from './bodies.ts';
import { Corrupt } from './corrupt.ts';
import { QUEUE_IDS } from './damage.ts';
import type { KnownHop } from './reading.ts';
import { Recovery } from './recovery.ts';
import { Slots } from './slots.ts';
import { Space } from './space.ts';

/**
 * LevelDB maps every table that it has open into memory: few and small files keep that small. Mail is written once and
 * read at most once, so a block cache gains nothing, and compressing what is deleted soon costs more than it saves.
 */
export const STORE_OPTIONS: StoreOptions = {
  names: QUEUE_IDS,
  maxOpenFiles: 64,
  maxFileSize: 1024 * 1024,
  cacheSize: 2 * 1024 * 1024,
  writeBufferSize: 2 * 1024 * 1024,
  compression: false,
};

/** Open the store and read the queue, or begin to: `recovery` tells. */
export async function openQueue(
  settings: Settings,
  log: Logger,
  { knownHop = () => '', patienceMs }: { knownHop?: KnownHop; patienceMs?: number | undefined } = {},
) {
  const folder = resolvePath(settings.current.node.data);
  const store = await Store.open(join(folder, 'queue'), log, STORE_OPTIONS);
  try {
    const slots = new Slots();
    const corrupt = new Corrupt(store, slots, log);
    const recovery = new Recovery({ store, slots, corrupt, knownHop, log });
    await recovery.begin(patienceMs);
    const space = new Space(folder, () => settings.current.queue.reserve);
    const close = async (): Promise<void> => {
      await recovery.stop();
      await store.close();
    };
    return { store, slots, corrupt, bodies: new Bodies(store), space, recovery, close };
  } catch (error) {
    await store.close();
    throw error;
  }
}
