import type { StoreOperation } from '#cluster/store.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { Counted, Page, UnitRecord } from './kind.ts';
import type { ReportClaims } from './report-claims.ts';
import { advanced, type Epoch, ended, MOST_LEFT, withoutStore } from './runs.ts';

/**
 * One epoch of a run (runs.ts) at the router that sends the reports: unit by unit, in the order of their names, it gathers
 * the rows of all routers, puts the report into the queue, and says so in the claims.
 *
 * A router that does not answer is left out from then on: its rows stay with it for the next run.
 */

/** All that is known of a unit, of all nodes that were asked. */
export type Gathered<Unit, Row> = {
  unit: string;
  /** What each of them knows of it beside its rows. */
  records: readonly Unit[];
  rows: readonly Counted<Row>[];
  /** What is in no row. */
  uncounted: number;
};

/** Makes a report and puts it where it goes from, together with `own`; `run` is the day of the run. */
export type Sender<Unit, Row> = {
  /**
   * `sent`: it is on disk, and `own` is written. `unwanted`: nobody takes it. `later`: DNS does not say whether somebody
   * does.
   */
  send(
    gathered: Gathered<Unit, Row>,
    run: string,
    own: () => Promise<StoreOperation[]>,
  ): Promise<'sent' | 'unwanted' | 'later'>;
  /** Whether DNS works at all. */
  hearsDns(): Promise<boolean>;
};

/** What a router has to report. */
export type RowSource<Unit, Row> = {
  store: string;
  node: string;
  /** Names of units after this one, in order; empty where there are no more. */
  units(after: string): Promise<string[]>;
  /** A page of rows; undefined: it has no such unit. */
  rows(unit: string, after: string): Promise<Page<Unit, Row> | undefined>;
};

export type RunDeps<Unit, Row> = {
  /** Of the kind of report. */
  name: string;
  log: Logger;
  sender: Sender<Unit, Row>;
  claims: Pick<ReportClaims, 'advance'>;
  own: RowSource<Unit, Row>;
  others: readonly RowSource<Unit, Row>[];
  /** What deletes the rows of this node. */
  removal: (unit: string) => Promise<StoreOperation[]>;
  signal: AbortSignal;
};

/** Rows of one report, and characters of them: about 40 MB of a report. Strangers decide how long a row is. */
const MOST_ROWS = 50_000;
const MOST_CHARACTERS = 24 * 2 ** 20;

/** By its text, by which it is known in the rows of others. */
type RowsByText<Row> = Map<string, Counted<Row>>;

export class Run<Unit extends UnitRecord, Row> {
  readonly #deps: RunDeps<Unit, Row>;
  #epoch: Epoch;
  /** Units that each source is known to have; none where it is to be asked. */
  readonly #ahead: Map<RowSource<Unit, Row>, string[]>;

  constructor(deps: RunDeps<Unit, Row>, epoch: Epoch) {
    this.#deps = deps;
    this.#epoch = epoch;
    const late = new Set(epoch.without.map(({ store }) => store));
    this.#ahead = new Map(
      [deps.own, ...deps.others.filter(({ store }) => !late.has(store))].map((source) => [source, []]),
    );
  }

  /** Resolves when every report is sent. Rejects where it cannot go on now, or another router has taken over. */
  async finish(): Promise<void> {
    for (let unit = await this.#next(); unit !== undefined; unit = await this.#next()) {
      const gathered = await this.#gather(unit);
      this.#deps.signal.throwIfAborted();
      const outcome =
        gathered && (await this.#deps.sender.send(gathered, this.#epoch.day, () => this.#deps.removal(unit)));
      const isLeft = outcome === 'later' && (await this.#mayLeave(unit));
      await this.#advance((epoch) => advanced(epoch, unit, isLeft));
    }
    await this.#advance(ended);
  }

  /**
   * Whether there is room to leave a unit. Many of them may be the fault of this node's DNS, or the work of somebody whose
   * name servers are silent, who must not hold up the reports of all others.
   */
  async #mayLeave(unit: string): Promise<boolean> {
    if (this.#epoch.left.length < MOST_LEFT) return true;
    const many = `DNS gives no answer for the readers of ${MOST_LEFT} reports`;
    if (!(await this.#deps.sender.hearsDns())) throw new SealpostError('dns-unreachable', many);
    this.#deps.log.warn({ unit }, `a ${this.#deps.name} report is given up: ${many}, and it works for other names`);
    return false;
  }

  async #advance(change: (epoch: Epoch) => Partial<Epoch>): Promise<void> {
    this.#epoch = await this.#deps.claims.advance(this.#epoch.epoch, change);
  }

  /** The first unit that any source has after the last one. */
  async #next(): Promise<string | undefined> {
    this.#deps.signal.throwIfAborted();
    for (const [source, ahead] of [...this.#ahead]) {
      while (ahead[0] !== undefined && ahead[0] <= this.#epoch.through) ahead.shift();
      if (ahead.length > 0) continue;
      const more = await source.units(this.#epoch.through).catch((error: unknown) => this.#leaveOut(source, error));
      if (more !== undefined) this.#ahead.set(source, more);
    }
    return [...this.#ahead.values()].flatMap(([first]) => first ?? []).sort()[0];
  }

  async #gather(unit: string): Promise<Gathered<Unit, Row> | undefined> {
    const rows: RowsByText<Row> = new Map();
    const records: Unit[] = [];
    let [size, uncounted] = [0, 0];
    for (const [source, [first]] of [...this.#ahead]) {
      if (first !== unit) continue;
      const found = await this.#allRows(source, unit).catch(async (error: unknown) => {
        this.#leaveOut(source, error);
        await this.#advance((epoch) => withoutStore(epoch, source.store, unit));
      });
      if (found === undefined) continue;
      records.push(found.unit);
      uncounted += found.unit.uncounted + found.more;
      for (const [text, { count, row }] of found.rows) {
        const before = rows.get(text)?.count;
        if (before === undefined) size += text.length;
        if (before !== undefined || (rows.size < MOST_ROWS && size <= MOST_CHARACTERS))
          rows.set(text, { count: (before ?? 0) + count, row });
        else uncounted += count;
      }
    }
    return records.length === 0 ? undefined : { unit, records, rows: [...rows.values()], uncounted };
  }

  /** All rows of a source; `more`: counts of those for which there is no room. */
  async #allRows(source: RowSource<Unit, Row>, unit: string) {
    const rows: RowsByText<Row> = new Map();
    let [size, more] = [0, 0];
    for (let after: string | undefined = ''; ; ) {
      const page = await source.rows(unit, after);
      if (page === undefined) return undefined;
      for (const counted of page.rows) {
        const text = JSON.stringify(counted.row);
        size += text.length;
        if (rows.size < MOST_ROWS && size <= MOST_CHARACTERS) rows.set(text, counted);
        else more += counted.count;
      }
      after = page.next;
      if (after === undefined) return { unit: page.unit, rows, more };
    }
  }

  /** Go on without a source that fails. This node does not go on without its own. */
  #leaveOut(source: RowSource<Unit, Row>, error: unknown): undefined {
    if (source === this.#deps.own) throw error;
    this.#ahead.delete(source);
    const { name } = this.#deps;
    const text = `a router gives no rows for the ${name} reports: they are sent without them, its rows come with the next`;
    this.#deps.log.warn({ of: source.node, error: errorText(error) }, text);
  }
}
