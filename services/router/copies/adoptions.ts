import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { PairName } from '../contract.ts';
import { Adopted, keys, parseRecord, putJson } from '../store/records.ts';
import { asPair, type ClaimRecord, parseKey } from './claims.ts';
import type { HeldCopies } from './held-copies.ts';

/**
 * What this store took over, in its own words: the last generation of each owner's mail whose copies are all in its queue.
 * It is on this disk before the claims say so. An owner deletes its mail only when the holder says this itself
 * (overtaken.ts), because anybody who can write into the stream of claims can say it there.
 */
export type AdoptionsDeps = {
  store: Store;
  own: string;
  map: ReplicatedMap<ClaimRecord>;
  held: HeldCopies;
  log: Logger;
};

export class Adoptions {
  readonly #deps: AdoptionsDeps;
  readonly #generations: Map<string, number>;

  private constructor(deps: AdoptionsDeps, generations: Map<string, number>) {
    this.#deps = deps;
    this.#generations = generations;
  }

  /**
   * Read it from disk. Where there is nothing, the version before may have taken mail over; there, and where the record
   * is damaged, only the claims know: they are believed, once. Rejects with `store-failed`.
   */
  static async load(deps: AdoptionsDeps): Promise<Adoptions> {
    const { store, own, map } = deps;
    const found = await readRecord(deps);
    if (found !== undefined) return new Adoptions(deps, found);
    const known = new Map<string, number>();
    for (const { key, value } of map.entries()) {
      const [name, pair] = [parseKey(key), asPair(value)];
      if (name === undefined || !('holder' in name) || name.holder !== own || pair?.adopted !== true) continue;
      known.set(name.owner, pair.generation);
    }
    const adoptions = new Adoptions(deps, known);
    // Without a bus a store has no name, and takes nothing over.
    if (own !== '') await store.write([adoptions.#record()]);
    return adoptions;
  }

  has(owner: string, generation: number): boolean {
    return this.#generations.get(owner) === generation;
  }

  /** Everything of this generation is in the queue; resolves when that is on disk. */
  async note(owner: string, generation: number): Promise<void> {
    if (this.has(owner, generation)) return;
    this.#generations.set(owner, generation);
    await this.#deps.store.persist([this.#record()]);
  }

  /** An owner asks. Throws `other-store`. */
  answer({ owner, holder, generation }: PairName): { adopted: boolean; held: number } {
    const { own, held } = this.#deps;
    if (holder !== own) throw otherStore(holder);
    const known = held.ids(owner, generation).length;
    const left = held.damage === undefined || this.has(owner, generation) ? known : Math.max(known, 1);
    return { adopted: left === 0 && this.has(owner, generation), held: left };
  }

  #record() {
    return putJson(keys.adopted, { owners: Object.fromEntries(this.#generations) });
  }
}

async function readRecord({ store, log }: AdoptionsDeps): Promise<Map<string, number> | undefined> {
  try {
    const sealed = await store.get(keys.adopted);
    return sealed && new Map(Object.entries(parseRecord(Adopted, keys.adopted, sealed).owners));
  } catch (error) {
    if (!['corrupt', 'store-damaged'].includes(errorCode(error) ?? '')) throw error;
    const text = 'the record of what this node took over is damaged: it is made again from the claims of the cluster';
    log.error({ error: errorText(error) }, text);
    return undefined;
  }
}

export function otherStore(name: string): SealpostError {
  return new SealpostError('other-store', `the store ${name} is not on this node: its disk was lost or replaced`);
}
