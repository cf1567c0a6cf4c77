import { setTimeout as delay } from 'node:timers/promises';
import { endsWithin } from '#cluster/bus/bus.ts';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { DAY_MS, dayOf } from './days.ts';
import type { Page, ReportKind, UnitRecord } from './kind.ts';
import type { ReportClaims } from './report-claims.ts';
import type { RowStore } from './row-store.ts';
import { type RowSource, Run, type Sender } from './run.ts';
import { type Epoch, isOver, isReported, isToCome } from './runs.ts';

/**
 * Reports of one kind (kind.ts), once a day and domain for the whole cluster.
 *
 *   row-store.ts      what this node counted: rows, which belong to units; days.ts: the names of these
 *   runs.ts           who sends the reports of a day, and which rows are in them; report-claims.ts: that in the claims
 *   run.ts            a router sends them: gathers the rows of all routers, unit by unit
 *
 * A quarter of an hour after the end of a day (UTC), or later where the kind spreads its reports, the first router that
 * finds this takes the run. The other routers close the day when they are asked. A router that is away then keeps its rows:
 * they go out in the next run, in a report of their own on the same day.
 */

type UnitsRequest = { day: string; epoch: number; after: string };
type RowsRequest = { unit: string; epoch: number; after: string };

export type DailyDeps<Unit extends UnitRecord, Row> = {
  kind: ReportKind<Unit, Row>;
  settings: Settings;
  log: Logger;
  store: Store;
  claims: ReportClaims;
  rows: RowStore<Unit, Row>;
  /** Make rows of all that was counted. Rejects with `store-failed`. */
  settle: () => Promise<void>;
  sender: Sender<Unit, Row>;
  /** Ask the router of another node. */
  ask: {
    units: (request: UnitsRequest, node: string) => Promise<string[]>;
    rows: (request: RowsRequest, node: string) => Promise<Page<Unit, Row> | undefined>;
  };
  /** Whether this node sends such reports. */
  isOn: () => boolean;
  /** ms from the quarter of an hour after midnight on, the same on all nodes. */
  spreadMs?: () => number;
  /** ms since 1970 */
  now?: (() => number) | undefined;
};

const TICK_MS = 1000;
/** How long a stop waits for a run, which another router, or this one after its start, goes on with. */
const STOP_MS = 5000;
/** Pause after a run that could not go on. */
const PAUSE_MS = 60_000;
/** So long after midnight clocks that differ agree on the day. */
const LATE_MS = 15 * 60_000;
const TIDY_MS = 60_000;
/** Names in one page. */
const MOST_NAMES = 500;
/** How long a router waits to hear of a run for which it is asked. */
const HEARD_MS = 3000;

export class DailyReports<Unit extends UnitRecord, Row> {
  readonly #deps: DailyDeps<Unit, Row>;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #pausedUntil = 0;
  #tidied = 0;
  /** The epoch that this process took last. */
  #epoch = 0;

  constructor(deps: DailyDeps<Unit, Row>) {
    this.#deps = deps;
  }

  begin(): void {
    this.#timer = setInterval(() => {
      if (this.#deps.store.failure !== undefined) return;
      // What fails is kept, and tried again.
      this.#deps.settle().catch(() => undefined);
      this.#tick();
    }, TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    if (this.#working !== undefined) await endsWithin(STOP_MS, this.#working);
    await this.#deps.settle().catch(() => undefined);
  }

  /** Another router asks for the units up to a day, of which no rows are to come any more. Throws `not-due`. */
  async units({ day, epoch, after }: UnitsRequest): Promise<{ units: string[] }> {
    await this.#hear(epoch);
    return { units: await this.#unitsTo(day, after) };
  }

  /** It asks for the rows of one. Throws `not-due`. */
  async rows({ unit, epoch, after }: RowsRequest): Promise<{ page: Page<Unit, Row> | undefined }> {
    await this.#hear(epoch);
    return { page: await this.#deps.rows.page(unit, epoch, after) };
  }

  get #now(): number {
    return this.#deps.now?.() ?? Date.now();
  }

  #tick(): void {
    this.#working ??= this.#work()
      .catch((error: unknown) => {
        this.#pausedUntil = performance.now() + PAUSE_MS;
        if (this.#stopping.signal.aborted || errorCode(error) === 'superseded') return;
        this.#deps.log.warn(
          { error: errorText(error) },
          `${this.#deps.kind.name} reports cannot be sent now, it is tried again in a minute`,
        );
      })
      .finally(() => {
        this.#working = undefined;
      });
  }

  async #work(): Promise<void> {
    const { claims, rows, log, kind } = this.#deps;
    if (!claims.isCurrent) return;
    if (this.#now - this.#tidied >= TIDY_MS) {
      this.#tidied = this.#now;
      await rows.tidy(this.#now, (unit, epoch) => this.#isReported(unit, epoch));
    }
    if (performance.now() < this.#pausedUntil || !this.#deps.isOn()) return;
    const epoch = await this.#take();
    if (epoch === undefined) return;
    this.#epoch = epoch.epoch;
    const { day, through } = epoch;
    const about = { day, epoch: epoch.epoch };
    log.info({ ...about, after: through || undefined }, `this router sends the ${kind.name} reports`);
    await this.#run(epoch).finish();
    this.#tidied = 0;
    log.info(about, `all ${kind.name} reports of the day are sent`);
  }

  /** The epoch to work in: a new one, or that which this process could not finish. */
  async #take() {
    const { claims, settings, spreadMs } = this.#deps;
    const last = claims.runs?.epochs[0];
    const due = dayOf(this.#now - DAY_MS - LATE_MS - (spreadMs?.() ?? 0));
    if (last !== undefined && last.epoch === this.#epoch && !isOver(last) && !isToCome(last.day, due)) return last;
    return claims.take(settings.current.node.name, due);
  }

  #run(epoch: Epoch): Run<Unit, Row> {
    const { kind, claims, rows, ask, log, settings, sender } = this.#deps;
    const { day, epoch: number } = epoch;
    const own: RowSource<Unit, Row> = {
      store: claims.store,
      node: settings.current.node.name,
      units: (after) => this.#unitsTo(day, after),
      rows: (unit, after) => rows.page(unit, number, after),
    };
    const others = claims.living().map(
      ({ store, node }): RowSource<Unit, Row> => ({
        ...{ store, node },
        units: (after) => ask.units({ day, epoch: number, after }, node),
        rows: (unit, after) => ask.rows({ unit, epoch: number, after }, node),
      }),
    );
    const removal = (unit: string): Promise<StoreOperation[]> => rows.removal(unit);
    const { signal } = this.#stopping;
    return new Run({ name: kind.name, log, claims, own, others, removal, sender, signal }, epoch);
  }

  #isReported(unit: string, epoch: number): boolean {
    const { claims } = this.#deps;
    return isReported(claims.runs, { unit, epoch, store: claims.store }) === true;
  }

  async #unitsTo(day: string, after: string): Promise<string[]> {
    const { rows, settle } = this.#deps;
    if (day >= dayOf(this.#now))
      throw new SealpostError('not-due', `the day ${day} is not over by the clock of this node`);
    await settle();
    await rows.close(day);
    const open = rows.units(day, after).filter((unit) => {
      const epoch = rows.epochOf(unit);
      return epoch === undefined || !this.#isReported(unit, epoch);
    });
    return open.slice(0, MOST_NAMES);
  }

  /** Wait until the claims on this node know of an epoch: what was reported before it is known then. */
  async #hear(epoch: number): Promise<void> {
    const { claims } = this.#deps;
    const end = performance.now() + HEARD_MS;
    while ((claims.runs?.epochs[0]?.epoch ?? 0) < epoch) {
      if (performance.now() > end)
        throw new SealpostError('not-due', `nothing is known of the run ${epoch} on this node`);
      await delay(50);
    }
  }
}
