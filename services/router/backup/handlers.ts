import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Handlers } from '#shared/contract.ts';
import type { RouterContract } from '../contract.ts';
import type { Copies } from '../copies/copies.ts';
import { heldCopyOf } from '../copies/held-copies.ts';
import type { Corrupt } from '../store/corrupt.ts';
import type { Slots } from '../store/slots.ts';
import { copyPage } from './copy-page.ts';
import { knownOf } from './known.ts';

type Deps = { store: Store; slots: Slots; corrupt: Corrupt; copies: Copies };

/**
 * What a backup and its restoration ask a router. `router` throws `unavailable` while it does not run, `whole` while not all
 * of its queue is known, which a backup reads from disk.
 */
export function backupHandlers(
  { router, whole }: { router: () => Deps; whole: () => Deps },
  settings: Settings,
): Pick<Handlers<RouterContract>, 'message-copy' | 'message-known'> {
  return {
    'message-copy': async ({ after }) => {
      const { bytes, next, ...page } = await copyPage(router().store, after);
      return { reply: { ...page, ...(next !== undefined && { next }) }, bytes };
    },
    'message-known': async ({ ids }) => {
      const { store, slots, corrupt, copies } = whole();
      const known = await knownOf(ids, {
        store,
        isQueued: (id) => slots.get(id) !== undefined,
        isCopy: (id) => {
          const held = heldCopyOf(id, copies);
          return held?.complete === true && !held.void;
        },
        isDamaged: (id) => corrupt.has(id),
      });
      return { node: settings.current.node.name, known };
    },
  };
}
