import { join } from 'node:path';
import { Store } from '#cluster/store.ts';
import type { Logger } from '#shared/log.ts';
import { type CopyPage, copyPage } from './backup/copy-page.ts';
import { idsOf, type Known, knownOf } from './backup/known.ts';
import { QueueWriter, type RestoreMail } from './backup/queue-writer.ts';
import { STORE_OPTIONS } from './store/open.ts';

/** The queue of a node that does not run, for a backup and for its restoration. Nothing is delivered. */
export type ClosedQueue = AsyncDisposable & {
  page(after: string | undefined): Promise<CopyPage>;
  known(ids: readonly string[]): Promise<Known[]>;
  writer(mail: RestoreMail): QueueWriter;
};

/** `data`: the folder of the node. Fails like `Store.open`: with `store-locked` while the node runs. */
export async function openClosedQueue(data: string, log: Logger): Promise<ClosedQueue> {
  const store = await Store.open(join(data, 'queue'), log, STORE_OPTIONS);
  let ids: Promise<{ queued: Set<string>; copies: Set<string>; damaged: Set<string> }> | undefined;
  const read = async () => ({
    queued: await idsOf(store, 'message'),
    copies: await idsOf(store, 'copy'),
    damaged: await idsOf(store, 'corrupt'),
  });
  return {
    page: (after) => copyPage(store, after),
    known: async (asked) => {
      ids ??= read();
      const { queued, copies, damaged } = await ids;
      return knownOf(asked, {
        store,
        isQueued: (id) => queued.has(id),
        isCopy: (id) => copies.has(id),
        isDamaged: (id) => damaged.has(id),
      });
    },
    writer: (mail) => new QueueWriter(store, mail),
    [Symbol.asyncDispose]: () => store.close(),
  };
}
