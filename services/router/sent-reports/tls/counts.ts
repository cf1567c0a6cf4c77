import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import type { TlsReportUnit, TlsRow } from '#shared/mail/reports/tls-rows.ts';
import type { TlsResult } from '../../delivery/tls-policy/result.ts';
import { dayOf } from '../daily/days.ts';
import { type Addition, type Batch, RowStore, type RowStoreDeps } from '../daily/row-store.ts';
import { TLS } from './kind.ts';
import { rowOf } from './row.ts';

/**
 * The sessions that this node counts for the reports. They are added up in memory, and become rows on disk every second
 * (daily/daily-reports.ts), or sooner where there are many different ones. So a session costs no write of its own, and a
 * process that dies loses the counts of its last second.
 */

/** Different rows that become rows on disk in one batch. */
const BATCH = 500;
/** More of them wait only where the disk does not take them: further ones are not counted. */
const MOST_WAITING = 20_000;

type Session = Addition<TlsReportUnit, TlsRow>;

export class TlsCounts {
  readonly rows: RowStore<TlsReportUnit, TlsRow>;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #lost = new LimitedLog();
  /** By day, domain and row. */
  readonly #waiting = new Map<string, Session>();

  private constructor(rows: RowStore<TlsReportUnit, TlsRow>, { log, now = Date.now }: RowStoreDeps) {
    this.rows = rows;
    this.#log = log;
    this.#now = now;
  }

  /** Rejects with `store-failed`. */
  static async load(deps: RowStoreDeps): Promise<TlsCounts> {
    return new TlsCounts(await RowStore.load(TLS, deps), deps);
  }

  /** Never throws and does not wait. */
  count(result: TlsResult): void {
    const found = rowOf(result);
    if (found === undefined) return;
    const at = this.#now();
    const { domain, row } = found;
    const key = `${dayOf(at)} ${domain} ${JSON.stringify(row)}`;
    const known = this.#waiting.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (this.#waiting.size >= MOST_WAITING) {
      const text = 'a session is missing from a TLS report: the disk does not take what was counted before';
      this.#lost.say('', (repeated) => this.#log.warn({ domain, ...repeated }, text));
      return;
    }
    this.#waiting.set(key, { at, domain, row, count: 1 });
    if (this.#waiting.size === BATCH) void this.settle().catch(() => undefined);
  }

  /** Make rows of all that was counted. Rejects with `store-failed`; it is kept then. */
  settle(): Promise<void> {
    return this.rows.settle(() => this.#batch());
  }

  #batch(): Batch<TlsReportUnit, TlsRow> | undefined {
    const some = [...this.#waiting.entries().take(BATCH)];
    if (some.length === 0) return undefined;
    // Sessions that are counted while these are written come with the next batch.
    const additions = some.map(([, session]) => ({ ...session }));
    return {
      additions,
      operations: [],
      written: () => {
        for (const [n, [key, session]] of some.entries()) {
          session.count -= additions[n]?.count ?? 0;
          if (session.count === 0) this.#waiting.delete(key);
        }
      },
    };
  }
}
