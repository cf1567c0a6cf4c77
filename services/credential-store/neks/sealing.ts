import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { describeNek, findNek } from '#shared/dkim/nek.ts';
import { errorText } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import type { Logger } from '#shared/log.ts';
import type { Records } from '../records/records.ts';
import type { NekSeal } from './nek-seal.ts';

/**
 * Gives every record a MAC by the current NEK: after a replacement of the NEK, so that the old one can go, and once
 * after an update from a version whose records have none. When each has one and every live credential-store writes them,
 * this node seals its map: from then on it takes no record without. Until then the bus is believed as that
 * version believed it.
 */
export type SealingDeps = {
  node: string;
  log: Logger;
  map: Pick<ReplicatedMap<unknown>, 'state' | 'sealed' | 'markSealed'>;
  records: Pick<Records, 'neks' | 'without' | 'reseal'>;
  seal: Pick<NekSeal, 'neks'>;
  /** The live processes; undefined while that is not known. */
  live: () => Holder[] | undefined;
};

export class Sealing {
  readonly #deps: SealingDeps;
  #working = false;

  constructor(deps: SealingDeps) {
    this.#deps = deps;
  }

  /** Do what is due; to be called repeatedly. One node writes, the first live one with the current NEK. Never rejects. */
  async resume(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      await this.#work();
    } catch (error) {
      this.#deps.log.warn({ error: errorText(error) }, 'records could not be sealed yet, it is tried again');
    } finally {
      this.#working = false;
    }
  }

  async #work(): Promise<void> {
    const { node, log, map, records, seal, live } = this.#deps;
    const nek = findNek(seal.neks, records.neks()?.current ?? seal.neks[0]?.fingerprint ?? '');
    const holders = live();
    if (nek === undefined || holders === undefined) return;
    const stores = holders.filter((h) => h.kind === 'credential-store');
    const alone = map.state === 'local';
    // A node that does not even hear itself knows nothing of the others.
    if (!alone && !(stores.some((h) => h.node === node) && stores.every((h) => h.seals === true))) return;
    const able = stores.filter((h) => h.neks.includes(nek.fingerprint)).map((h) => h.node);
    if (records.without(nek.fingerprint) > 0 && (alone || able.toSorted()[0] === node)) {
      const sealed = await records.reseal(nek.fingerprint);
      log.info({ records: sealed, nek: describeNek(nek) }, 'records sealed with the current named encryption key');
    }
    if (map.sealed || records.without(nek.fingerprint) > 0) return;
    await map.markSealed();
    log.info('every record has a MAC: from now on this node takes none without');
  }
}
