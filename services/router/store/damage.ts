import type { Store } from '#cluster/store.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Corrupt } from './corrupt.ts';
import { keys, queueIdOf, rangeOf } from './records.ts';
import type { Slots } from './slots.ts';

/**
 * What a damaged store means for the mail in it. A message of which some record is left is set aside; of one that was lost
 * whole, or whose end was, at best its queue id is known, from the bytes that were lost.
 */

/** Queue ids as the keys of the queue name them; ids are made by `newQueueId`. */
export const QUEUE_IDS = /(?:message|recipient|body|transfer|place|receipt)!([0-9A-HJKMNP-TV-Z]{16})/g;

/**
 * Set aside what has nothing left but pieces of its body, and say at every start what was lost, until an operator moves
 * the store's `lost/` folder away. Resolves to the messages that were set aside.
 */
export async function reportDamage(store: Store, slots: Slots, corrupt: Corrupt, log: Logger): Promise<number> {
  const damages = await store.damage();
  if (damages.length === 0) return 0;
  const setAside = await setAsideBodies(store, slots, corrupt);
  for (const { what, names, more, lostBytes, folder } of damages) {
    const queued = names.filter((id) => slots.get(id) !== undefined);
    const gone: string[] = [];
    for (const id of names) {
      const known = queued.includes(id) || corrupt.has(id) || (await store.get(keys.receipt(id))) !== undefined;
      if (!known) gone.push(id);
    }
    log.error(
      { damage: what, lostBytes, queued, gone, more, kept: folder },
      'the store of the queue was damaged: messages under "gone" were lost or had been delivered, those under "queued" may be delivered again',
    );
  }
  return setAside;
}

async function setAsideBodies(store: Store, slots: Slots, corrupt: Corrupt): Promise<number> {
  const ids = new Set<string>();
  for await (const key of store.keys(rangeOf('body'))) ids.add(queueIdOf(key));
  let count = 0;
  for (const id of ids) {
    if (slots.get(id) !== undefined || corrupt.has(id)) continue;
    count++;
    corrupt.setAside(id, new SealpostError('corrupt', 'it has a body and no message record'));
  }
  return count;
}
