import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Intake } from './intake/intake.ts';
import { purgeReceipts } from './receipts/purge.ts';
import type { SearchIndex } from './receipts/search-index.ts';
import type { ReceivedReports } from './received-reports/report-reader.ts';
import type { Slots } from './store/slots.ts';
import type { Space } from './store/space.ts';

/**
 * The housekeeping of the queue, one job after the other on one timer: transfers whose listener is silent, receipts
 * that are older than `receipts.keep`, old reports of others, and the space of deleted mail, which LevelDB gives back late: when the disk runs
 * low it is asked to do so now, else a full disk would stay full after its mail has left.
 */

const TICK_MS = 1000;
const SWEEP_MS = 60_000;
const PURGE_MS = 600_000;
/** Compactions are at least this far apart, and take at most a fifth of the time. */
const COMPACT_MS = 5000;
const COMPACT_PAUSE = 4;
/** Never there. */
const COMPACTED_KEY = '!compacted';

export type MaintenanceDeps = {
  settings: Settings;
  store: Store;
  slots: Slots;
  index: SearchIndex;
  space: Space;
  intake: Intake;
  reports: ReceivedReports;
  log: Logger;
};

export class Maintenance {
  readonly #settings: Settings;
  readonly #store: Store;
  readonly #slots: Slots;
  readonly #index: SearchIndex;
  readonly #space: Space;
  readonly #intake: Intake;
  readonly #reports: ReceivedReports;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #busy = false;
  /** Times of the monotonic clock. */
  #swept = performance.now();
  #purged = Number.NEGATIVE_INFINITY;
  #nextCompaction = 0;
  /** How many messages had left the queue at the last compaction; unknown at the start. */
  #removed = -1;
  #stopped = false;

  constructor(deps: MaintenanceDeps) {
    this.#settings = deps.settings;
    this.#store = deps.store;
    this.#slots = deps.slots;
    this.#index = deps.index;
    this.#space = deps.space;
    this.#intake = deps.intake;
    this.#reports = deps.reports;
    this.#log = deps.log;
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (!this.#busy) this.#running = this.#tick();
    }, TICK_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  async #tick(): Promise<void> {
    this.#busy = true;
    try {
      const now = performance.now();
      if (now - this.#swept >= SWEEP_MS) {
        this.#swept = now;
        this.#intake.sweep(now);
      }
      if (this.#store.failure !== undefined) return;
      if (now >= this.#nextCompaction && this.#space.available() <= 0) await this.#compact();
      if (now - this.#purged >= PURGE_MS) {
        await this.purgeReceipts(Date.now());
        const { authenticity, delivery } = this.#settings.current;
        await this.#reports.dmarc.purge(Date.now() - authenticity.dmarc.reports.keep);
        await this.#reports.tls.purge(Date.now() - delivery['tls-reports'].keep);
        this.#purged = now;
      }
    } catch (error) {
      this.#log.warn({ error: errorText(error) }, 'housekeeping of the queue failed, it is tried again');
    } finally {
      this.#busy = false;
    }
  }

  async #compact(): Promise<void> {
    const { removed } = this.#slots;
    if (removed === this.#removed) return;
    const began = performance.now();
    try {
      await this.#store.compact('!', '~');
      // LevelDB does not tell of a compaction that the full disk stopped until the next write.
      await this.#store.write([{ type: 'del', key: COMPACTED_KEY }]);
    } finally {
      const took = performance.now() - began;
      this.#nextCompaction = performance.now() + Math.max(COMPACT_MS, took * COMPACT_PAUSE);
    }
    this.#removed = removed;
    const ms = Math.round(performance.now() - began);
    this.#log.info({ ms }, 'disk is low: the space of deleted mail was reclaimed');
  }

  /** Delete receipts whose mail left the queue longer than `receipts.keep` ago. Returns how many. */
  purgeReceipts(now: number): Promise<number> {
    const end = now - this.#settings.current.receipts.keep;
    return purgeReceipts({ store: this.#store, index: this.#index }, end, () => this.#stopped);
  }
}
