import { setTimeout as delay } from 'node:timers/promises';
import { endsWithin } from '#cluster/bus/bus.ts';
import type { Store, StoreOperation } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Origin } from '#shared/mail/envelope.ts';
import type { Message } from '../store/message.ts';
import { Counts } from './counts.ts';
import { type FailureDeps, FailureReports, type Refused } from './failures/failure-reports.ts';
import { noteOf } from './note.ts';
import { DAY_MS, dayOf } from './records.ts';
import type { ReportClaims } from './report-claims.ts';
import { type RowSource, Run } from './run.ts';
import { type Epoch, isOver, isReported, isToCome } from './runs.ts';
import { ReportSender, submitterOf } from './sender.ts';

/**
 * DMARC aggregate reports (RFC 9990): the owner of a domain that asks for them (`rua`) hears once a day which mail in its
 * name this cluster got, and what became of it. One report a day and domain for the whole cluster.
 *
 *   note.ts           what counts of a message; pure
 *   counts.ts         what this node counted: notes become rows, rows belong to units; records.ts: how it lies on disk
 *   runs.ts           who sends the reports of a day, and which rows are in them; report-claims.ts: that in the claims
 *   run.ts            a router sends them: gathers the rows of all routers, unit by unit
 *   sender.ts         the report on one unit; xml.ts, report-message.ts: its form
 *   destinations.ts   where reports go; takers.ts, queued.ts: for both kinds of them
 *   failures/         reports on single messages that fail (RFC 9991)
 *
 * A message is counted when it is accepted, in the same batch of the store, and when it is refused for good. A quarter of an
 * hour after the end of a day (UTC), the first router that finds this takes the run. The other routers close the day when
 * they are asked. A router that is away then keeps its rows: they go out in the next run, in a report of their own on the
 * same day. No report is counted: they originate here, and what originates here is not checked.
 */

export type ReportsDeps = FailureDeps & {
  store: Store;
  claims: ReportClaims;
  router: Calls<'router', 'router'>;
  /** ms since 1970 */
  now?: (() => number) | undefined;
};

/** What of a message tells how it is counted. */
type About = { origin: Origin; reversePath: string };

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

export class Reports {
  readonly #deps: ReportsDeps;
  readonly #counts: Counts;
  readonly #sender: ReportSender;
  readonly #failures: FailureReports;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #pausedUntil = 0;
  #tidied = 0;
  /** The epoch that this process took last. */
  #epoch = 0;

  private constructor(deps: ReportsDeps, counts: Counts) {
    this.#deps = deps;
    this.#counts = counts;
    this.#sender = new ReportSender(deps);
    this.#failures = new FailureReports(deps);
  }

  /** Rejects with `store-failed`. */
  static async open(deps: ReportsDeps): Promise<Reports> {
    return new Reports(deps, await Counts.load(deps));
  }

  begin(): void {
    this.#timer = setInterval(() => {
      if (this.#deps.store.failure !== undefined) return;
      // What fails is kept, and tried again.
      this.#counts.settle().catch(() => undefined);
      this.#tick();
    }, TICK_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await Promise.all([this.#failures.stop(), this.#working && endsWithin(STOP_MS, this.#working)]);
    await this.#counts.settle().catch(() => undefined);
  }

  /** What is written with a message that is accepted, and what is to be called when it is. */
  accepted(message: Message, found: Authenticity | undefined) {
    if (found === undefined) return undefined;
    const note = this.#noteOf(message.record, found);
    return {
      beside: note === undefined ? [] : [this.#counts.writing(message.id, note)],
      written: () => {
        if (note !== undefined) this.#counts.written(message.id, note);
        this.#failures.accepted(message, found);
      },
    };
  }

  /** Count a message that is refused for good; resolves when that is on disk. */
  async refused(transfer: Refused, found: Authenticity): Promise<void> {
    this.#failures.refused(transfer, found);
    const { queueId, origin, envelope } = transfer;
    const note = this.#noteOf({ origin, reversePath: envelope.reversePath }, found);
    if (note === undefined) return;
    await this.#deps.store.persist([this.#counts.writing(queueId, note)]);
    this.#counts.written(queueId, note);
  }

  /** Another router asks for the units up to a day, of which no rows are to come any more. Throws `not-due`. */
  async units({ day, epoch, after }: { day: string; epoch: number; after: string }): Promise<{ units: string[] }> {
    await this.#hear(epoch);
    return { units: await this.#unitsTo(day, after) };
  }

  /** It asks for the rows of one. Throws `not-due`. */
  async rows({ unit, epoch, after }: { unit: string; epoch: number; after: string }) {
    await this.#hear(epoch);
    return { page: await this.#counts.page(unit, epoch, after) };
  }

  get #now(): number {
    return this.#deps.now?.() ?? Date.now();
  }

  #noteOf({ origin, reversePath }: About, found: Authenticity) {
    if (submitterOf(this.#deps.settings.current) === undefined) return undefined;
    return noteOf(found, { origin, reversePath, at: this.#now });
  }

  #tick(): void {
    this.#working ??= this.#work()
      .catch((error: unknown) => {
        this.#pausedUntil = performance.now() + PAUSE_MS;
        if (this.#stopping.signal.aborted || errorCode(error) === 'superseded') return;
        this.#deps.log.warn(
          { error: errorText(error) },
          'DMARC reports cannot be sent now, it is tried again in a minute',
        );
      })
      .finally(() => {
        this.#working = undefined;
      });
  }

  async #work(): Promise<void> {
    const { claims, settings } = this.#deps;
    if (!claims.isCurrent) return;
    if (this.#now - this.#tidied >= TIDY_MS) {
      this.#tidied = this.#now;
      await this.#counts.tidy(this.#now, (unit, epoch) => this.#isReported(unit, epoch));
    }
    if (performance.now() < this.#pausedUntil || submitterOf(settings.current) === undefined) return;
    const epoch = await this.#take();
    if (epoch === undefined) return;
    this.#epoch = epoch.epoch;
    const { day, through } = epoch;
    this.#deps.log.info(
      { day, epoch: epoch.epoch, after: through || undefined },
      'this router sends the DMARC reports',
    );
    await this.#run(epoch).finish();
    this.#tidied = 0;
    this.#deps.log.info({ day, epoch: epoch.epoch }, 'all DMARC reports of the day are sent');
  }

  /** The epoch to work in: a new one, or that which this process could not finish. */
  async #take() {
    const { claims, settings } = this.#deps;
    const last = claims.runs?.epochs[0];
    const due = dayOf(this.#now - DAY_MS - LATE_MS);
    if (last !== undefined && last.epoch === this.#epoch && !isOver(last) && !isToCome(last.day, due)) return last;
    return claims.take(settings.current.node.name, due);
  }

  #run(epoch: Epoch): Run {
    const { claims, router, log, settings } = this.#deps;
    const { day, epoch: number } = epoch;
    const own: RowSource = {
      store: claims.store,
      node: settings.current.node.name,
      units: (after) => this.#unitsTo(day, after),
      rows: (unit, after) => this.#counts.page(unit, number, after),
    };
    const others = claims.living().map(
      ({ store, node }): RowSource => ({
        ...{ store, node },
        units: async (after) => (await router['dmarc-unit-list']({ day, epoch: number, after }, { node })).units,
        rows: async (unit, after) => (await router['dmarc-row-list']({ unit, epoch: number, after }, { node })).page,
      }),
    );
    const removal = (unit: string): Promise<StoreOperation[]> => this.#counts.removal(unit);
    return new Run({ log, claims, own, others, removal, sender: this.#sender, signal: this.#stopping.signal }, epoch);
  }

  #isReported(unit: string, epoch: number): boolean {
    const { claims } = this.#deps;
    return isReported(claims.runs, { unit, epoch, store: claims.store }) === true;
  }

  async #unitsTo(day: string, after: string): Promise<string[]> {
    if (day >= dayOf(this.#now))
      throw new SealpostError('not-due', `the day ${day} is not over by the clock of this node`);
    await this.#counts.close(day);
    const open = this.#counts.units(day, after).filter((unit) => {
      const epoch = this.#counts.epochOf(unit);
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
