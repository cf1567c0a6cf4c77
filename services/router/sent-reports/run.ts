import type { StoreOperation } from '#cluster/store.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import type { CountedRow, ReportPage, ReportUnit } from '#shared/mail/dmarc-rows.ts';
import type { ReportClaims } from './report-claims.ts';
import { advanced, type Epoch, ended, MOST_LEFT, withoutStore } from './runs.ts';
import type { Gathered, ReportSender } from './sender.ts';

/**
 * One epoch of a run (runs.ts) at the router that sends the reports: unit by unit, in the order of their names, it gathers
 * the rows of all routers, puts the report into the queue, and says so in the claims.
 *
 * A router that does not answer is left out from then on: its rows stay with it for the next run.
 */

/** What a router has to report. */
export type RowSource = {
  store: string;
  node: string;
  /** Names of units after this one, in order; empty where there are no more. */
  units(after: string): Promise<string[]>;
  /** A page of rows; undefined: it has no such unit. */
  rows(unit: string, after: string): Promise<ReportPage | undefined>;
};

export type RunDeps = {
  log: Logger;
  sender: Pick<ReportSender, 'send' | 'hearsDns'>;
  claims: Pick<ReportClaims, 'advance'>;
  own: RowSource;
  others: readonly RowSource[];
  /** What deletes the rows of this node. */
  removal: (unit: string) => Promise<StoreOperation[]>;
  signal: AbortSignal;
};

/** Rows of one report, and characters of them: about 40 MB of XML. Strangers decide how long a row is. */
const MOST_ROWS = 50_000;
const MOST_CHARACTERS = 24 * 2 ** 20;

/** By its text, by which it is known in the rows of others. */
type RowsByText = Map<string, CountedRow>;

export class Run {
  readonly #deps: RunDeps;
  #epoch: Epoch;
  /** Units that each source is known to have; none where it is to be asked. */
  readonly #ahead: Map<RowSource, string[]>;

  constructor(deps: RunDeps, epoch: Epoch) {
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
    this.#deps.log.warn({ unit }, `a DMARC report is given up: ${many}, and it works for other names`);
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

  async #gather(unit: string): Promise<Gathered | undefined> {
    const rows: RowsByText = new Map();
    let newest: ReportUnit | undefined;
    let [size, uncounted] = [0, 0];
    for (const [source, [first]] of [...this.#ahead]) {
      if (first !== unit) continue;
      const found = await this.#allRows(source, unit).catch(async (error: unknown) => {
        this.#leaveOut(source, error);
        await this.#advance((epoch) => withoutStore(epoch, source.store, unit));
      });
      if (found === undefined) continue;
      if (newest === undefined || found.unit.seen > newest.seen) newest = found.unit;
      uncounted += found.unit.uncounted + found.more;
      for (const [text, { count, row }] of found.rows) {
        const before = rows.get(text)?.count;
        if (before === undefined) size += text.length;
        if (before !== undefined || (rows.size < MOST_ROWS && size <= MOST_CHARACTERS))
          rows.set(text, { count: (before ?? 0) + count, row });
        else uncounted += count;
      }
    }
    return newest && { unit, published: newest.published, rows: [...rows.values()], uncounted };
  }

  /** All rows of a source; `more`: messages of those for which there is no room. */
  async #allRows(source: RowSource, unit: string) {
    const rows: RowsByText = new Map();
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
  #leaveOut(source: RowSource, error: unknown): undefined {
    if (source === this.#deps.own) throw error;
    this.#ahead.delete(source);
    const text =
      'a router gives no rows for the DMARC reports: they are sent without them, its rows come with the next';
    this.#deps.log.warn({ of: source.node, error: errorText(error) }, text);
  }
}
