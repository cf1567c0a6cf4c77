import { rename } from 'node:fs/promises';
import { Store } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';

/**
 * Opens the store of the credentials, also one that lost some of them. In a cluster the stream brings all of them again,
 * so a store that cannot be repaired is put aside, and the node begins with an empty one. A single node has nobody to ask:
 * it does not start as if it never had keys, because mail would leave unsigned.
 */

/** The domain in the key of a record (cluster/replicated/records.ts). */
const DOMAINS = /map!record!domain!([0-9a-z._-]+)/g;

/** Fails like `Store.open`. */
export async function openStore(folder: string, log: Logger, alone: boolean): Promise<Store> {
  try {
    return await Store.open(folder, log, { names: DOMAINS });
  } catch (error) {
    if (errorCode(error) !== 'store-damaged') throw error;
    if (alone) throw nothingLeft(folder, 'cannot be repaired', error);
    const aside = `${folder}.damaged-${Date.now()}`;
    await rename(folder, aside);
    log.error(
      { store: folder, aside, error: errorText(error) },
      'the store of the credentials cannot be repaired and was put aside: the cluster brings them again',
    );
    return Store.open(folder, log, { names: DOMAINS });
  }
}

/** Fails with `store-damaged` when a damaged store has lost everything, and nobody else has it. */
export async function assertSomeLeft(store: Store, folder: string, records: number, alone: boolean): Promise<void> {
  if (!alone || records > 0 || (await store.damage()).length === 0) return;
  throw nothingLeft(folder, 'is damaged, and nothing in it could be read');
}

function nothingLeft(folder: string, text: string, cause?: unknown): SealpostError {
  const help = `stop the node and restore ${folder} from a backup; or, to begin without keys, move ${folder} away`;
  return new SealpostError('store-damaged', `the store of the credentials ${text}: ${help}`, { cause });
}
