import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import { SealpostError } from '#shared/errors.ts';
import { asReportRuns, type ClaimRecord, type ReportRuns } from '../../copies/claims.ts';
import type { LeaseWatch } from '../../copies/lease-watch.ts';
import { begin, changed, type Epoch } from './runs.ts';

/** `store`: name of this node's store; '' without a bus. */
type Place = { map: ReplicatedMap<ClaimRecord>; watch: LeaseWatch; store: string };

/** The record of the runs in the claims of the cluster, which without a bus are those of this node. */
export class ReportClaims {
  readonly store: string;
  readonly #key: string;
  readonly #map: ReplicatedMap<ClaimRecord>;
  readonly #watch: LeaseWatch;

  /** `key` of the record: each kind of report has its own. */
  constructor({ map, watch, store }: Place, key: string) {
    this.#map = map;
    this.#watch = watch;
    this.store = store;
    this.#key = key;
  }

  get runs(): ReportRuns | undefined {
    return asReportRuns(this.#map.get(this.#key)?.value);
  }

  /** Everything that the cluster has agreed on is known. */
  get isCurrent(): boolean {
    return this.#map.state === 'local' || this.#map.state === 'following';
  }

  /** The other routers that are live. */
  living(): { store: string; node: string }[] {
    return this.#watch.living();
  }

  /**
   * Take the run of a day, or go on with one whose router is gone; undefined where there is nothing to do. Rejects as
   * `ReplicatedMap.update` does.
   */
  async take(node: string, day: string): Promise<Epoch | undefined> {
    const isLive = (store: string): boolean => {
      const lease = this.#watch.lease(store);
      return lease?.state === 'serving' && this.#watch.silent(store) === undefined;
    };
    const next = (runs: ReportRuns | undefined) => begin(runs, { store: this.store, node, day }, isLive);
    if (next(this.runs) === this.runs) return undefined;
    const before = this.runs?.epochs[0]?.epoch ?? 0;
    const [epoch] = (await this.#change(next)).epochs;
    return epoch !== undefined && epoch.epoch > before && epoch.store === this.store ? epoch : undefined;
  }

  /** Change the epoch that is under way. Rejects with `superseded` where it is another one, and as `ReplicatedMap.update`. */
  async advance(number: number, change: (epoch: Epoch) => Partial<Epoch>): Promise<Epoch> {
    const { epochs } = await this.#change((runs) => {
      const after = changed(runs, number, change);
      if (after === undefined) throw new SealpostError('superseded', 'another router has taken over the reports');
      return after;
    });
    const [epoch] = epochs;
    if (epoch === undefined) throw new Error('a run has no epoch');
    return epoch;
  }

  async #change(next: (runs: ReportRuns | undefined) => ReportRuns): Promise<ReportRuns> {
    let after: ReportRuns | undefined;
    await this.#map.update(this.#key, (record) => {
      const before = asReportRuns(record);
      after = next(before);
      return after === before ? record : after;
    });
    if (after === undefined) throw new Error('a change of the runs was not made');
    return after;
  }
}
