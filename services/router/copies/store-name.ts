import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { newId } from '#shared/ids.ts';
import type { Logger } from '#shared/log.ts';
import { keys, parseRecord, putJson, rangeOf, StoreName } from '../store/records.ts';
import { asLease, type ClaimRecord, parseKey } from './claims.ts';

/**
 * The name of this node's store (claims.ts). It is made once, before the disk has any claim. Under another name the store
 * could neither take over the copies that it holds, nor learn what became of its own: that mail would wait for ever. So a
 * name that is damaged or missing is read from the claims, which are on this disk and in the stream: it is one that this
 * node has a lease for. Where several are, because an earlier disk was lost, what is left of the record tells which, or else
 * the newest lease. Where none is, the damaged record is kept for a person, and the store has a new name.
 */

/** Resolves to the name, or to how to find it once the claims are open. Rejects with `store-failed`. */
export async function loadStoreName(
  store: Store,
  log: Logger,
): Promise<{ name: string } | { find: (map: ReplicatedMap<ClaimRecord>, node: string) => Promise<string> }> {
  const lost = await readName(store);
  if (typeof lost !== 'object') return { name: lost ?? (await writeName(store, newId())) };
  const find = async (map: ReplicatedMap<ClaimRecord>, node: string): Promise<string> => {
    const found = nameInClaims(map, node, lost.bytes?.toString('latin1') ?? '');
    const name = found ?? newId();
    if (found === undefined && lost.bytes !== undefined) {
      await store.write([{ type: 'put', key: keys.damagedStore, value: lost.bytes }]);
    }
    await writeName(store, name);
    const about = { store: name, error: lost.error };
    if (found !== undefined) {
      log.error(about, 'the record of the name of the store was lost: it was written again as the claims have it');
    } else {
      log.error(
        about,
        `the record of the name of the store was lost, and no claim has it for node ${node}: the store has a new name, other nodes take over what they have copies of, and what is in the queue here with a copy elsewhere waits: look at it with "sealpost queue list"`,
      );
    }
    return name;
  };
  return { find };
}

/** The name; undefined in a new store; or what is wrong with the record, and what is left of it. */
async function readName(store: Store): Promise<string | undefined | { error: string; bytes?: Buffer | undefined }> {
  let sealed: Buffer | undefined;
  try {
    sealed = await store.get(keys.store);
    if (sealed !== undefined) return parseRecord(StoreName, keys.store, sealed).name;
    for await (const _ of store.keys(rangeOf('claim'))) return { error: 'the record is missing' };
    return undefined;
  } catch (error) {
    if (!['corrupt', 'store-damaged'].includes(errorCode(error) ?? '')) throw error;
    return { error: errorText(error), bytes: sealed };
  }
}

function nameInClaims(map: ReplicatedMap<ClaimRecord>, node: string, rest: string): string | undefined {
  const own = map.entries().flatMap(({ key, value }) => {
    const name = parseKey(key);
    if (name === undefined || !('lease' in name) || asLease(value)?.node !== node) return [];
    return [{ name: name.lease, time: map.timeOf(key) ?? '' }];
  });
  own.sort((a, b) => (a.time < b.time ? 1 : -1));
  return (own.find(({ name }) => rest.includes(name)) ?? own[0])?.name;
}

async function writeName(store: Store, name: string): Promise<string> {
  await store.write([putJson(keys.store, { name })]);
  return name;
}
