import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { putJson } from '../../store/records.ts';
import { readable } from '../../store/recovery.ts';
import { DAY_MS, dayAfter, dayOf, unitOf } from './days.ts';
import type { Counted, Page, ReportKind, RowLimits, UnitRecord } from './kind.ts';
import { RecordReader } from './record-reader.ts';

/**
 * What this node counted for one kind of report, on its disk, beside the records of the queue:
 *
 *   <kind>-unit!<domain>!<day>          the rows of a domain and a day
 *   <kind>-row!<domain>!<day>!<hash>    one of them
 *   <kind>-closed                       the last day that gets no more rows
 *
 * A day is open until it is closed; then its rows do not change any more, and can be given away page by page. What comes
 * for a day that is closed is counted on the first day that is open.
 *
 * Bounded: others decide how many units and rows there are. What is beyond is counted in coarser rows, where the kind has
 * such, or not at all; a unit knows how much that was.
 */

/** Characters of the rows of one page: NATS carries 1 MB. */
const PAGE_CHARACTERS = 256 * 1024;
/** Rows that nobody has asked for in so long are of no use any more. */
const KEEP_MS = 14 * DAY_MS;
/** Coarser rows of a unit. */
const MOST_COARSE = 100;

const Closed = z.object({ day: z.string() });

/** What occurred `count` times; `at`: ms since 1970. */
export type Addition<Unit, Row> = {
  at: number;
  domain: string;
  count: number;
  row: Row;
  /** What else it says of its unit. */
  about?: (unit: Unit) => Unit;
};

/** Additions that are written together, with other operations; `written` is called when they are. */
export type Batch<Unit, Row> = {
  additions: readonly Addition<Unit, Row>[];
  operations: readonly StoreOperation[];
  written: () => void;
};

/** What memory knows of a unit. */
type Known = { epoch: number | undefined };
/** An addition, the unit that counts it, and its rows with their keys, the first choice first. */
type Placed<Unit, Row> = { addition: Addition<Unit, Row>; unit: string; choices: { key: string; row: Row }[] };
type Stored<Unit, Row> = { units: ReadonlyMap<string, Unit>; rows: ReadonlyMap<string, Counted<Row>> };

/** `now`: ms since 1970. */
export type RowStoreDeps = { store: Store; log: Logger; limits?: RowLimits; now?: (() => number) | undefined };

export class RowStore<Unit extends UnitRecord, Row> {
  readonly #kind: ReportKind<Unit, Row>;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #records: RecordReader;
  readonly #limits: RowLimits;
  readonly #now: () => number;
  readonly #crowding = new LimitedLog();
  readonly #units = new Map<string, Known>();
  #closed = '';
  /** One change of the rows at a time. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(kind: ReportKind<Unit, Row>, { store, log, limits = kind.limits, now = Date.now }: RowStoreDeps) {
    this.#kind = kind;
    this.#store = store;
    this.#log = log;
    this.#records = new RecordReader(store, log, kind.name);
    this.#limits = limits;
    this.#now = now;
  }

  /** Find what is on disk. Rejects with `store-failed`. */
  static async load<Unit extends UnitRecord, Row>(kind: ReportKind<Unit, Row>, deps: RowStoreDeps) {
    const rows = new RowStore(kind, deps);
    rows.#closed = (await rows.#records.one(Closed, rows.#closedKey))?.day ?? '';
    for await (const [key, value] of readable(deps.store, `${kind.prefix}-unit`, deps.log)) {
      const unit = rows.#records.parse(kind.unit, key, value);
      rows.#units.set(key.slice(key.indexOf('!') + 1), { epoch: unit?.epoch });
    }
    return rows;
  }

  get records(): RecordReader {
    return this.#records;
  }

  /** Count batches until there is none. Rejects with `store-failed`; the batch is not written then. */
  settle(next: () => Batch<Unit, Row> | undefined): Promise<void> {
    return this.#inTurn(async () => {
      for (let batch = next(); batch !== undefined; batch = next()) {
        const change = await this.#change(batch.additions);
        await this.#store.write([...change.operations, ...batch.operations]);
        for (const [unit, known] of change.units) this.#units.set(unit, known);
        batch.written();
      }
    });
  }

  /** Let no more rows come to this day and those before. Rejects with `store-failed`. */
  close(day: string): Promise<void> {
    return this.#inTurn(async () => {
      if (day <= this.#closed && this.#closed < dayOf(this.#now())) return;
      await this.#store.write([putJson(this.#closedKey, { day })]);
      this.#closed = day;
    });
  }

  /** Names of the units up to a day, after a name, in order. */
  units(day: string, after: string): string[] {
    const names = [...this.#units.keys()].filter((unit) => unit > after && unit.slice(unit.indexOf('!') + 1) <= day);
    return names.sort();
  }

  epochOf(unit: string): number | undefined {
    return this.#units.get(unit)?.epoch;
  }

  /** A unit with a page of its rows, marked with the epoch that gets them; undefined where it is not there. */
  async page(unit: string, epoch: number, after: string): Promise<Page<Unit, Row> | undefined> {
    if (!this.#units.has(unit)) return undefined;
    const record = await this.#records.one(this.#kind.unit, this.#unitKey(unit));
    if (record === undefined) return undefined;
    if (record.epoch !== epoch) {
      await this.#store.write([putJson(this.#unitKey(unit), { ...record, epoch })]);
      this.#units.set(unit, { epoch });
    }
    const rows: Counted<Row>[] = [];
    let size = 0;
    const range = `${this.#kind.prefix}-row!${unit}`;
    for await (const [key, value] of readable(this.#store, range, this.#log, this.#rowKey(unit, after))) {
      const counted = this.#records.parse(this.#kind.row, key, value);
      if (counted !== undefined) rows.push(counted);
      size += value.length;
      if (size >= PAGE_CHARACTERS) return { unit: record, rows, next: key.slice(key.lastIndexOf('!') + 1) };
    }
    return { unit: record, rows };
  }

  /** What deletes a unit, which memory forgets at once. */
  async removal(unit: string): Promise<StoreOperation[]> {
    const operations: StoreOperation[] = [{ type: 'del', key: this.#unitKey(unit) }];
    for await (const [key] of readable(this.#store, `${this.#kind.prefix}-row!${unit}`, this.#log))
      operations.push({ type: 'del', key });
    this.#units.delete(unit);
    return operations;
  }

  /** Delete the units that were reported, and those that nobody asks for. Rejects with `store-failed`. */
  async tidy(now: number, isReported: (unit: string, epoch: number) => boolean): Promise<void> {
    const old = dayOf(now - KEEP_MS);
    for (const [unit, { epoch }] of [...this.#units]) {
      const isOld = unit.slice(unit.indexOf('!') + 1) < old;
      if (!isOld && (epoch === undefined || !isReported(unit, epoch))) continue;
      const text = `rows of a ${this.#kind.name} report were deleted: in 14 days no router asked for them`;
      if (isOld) this.#log.warn({ unit }, text);
      await this.#store.write(await this.removal(unit));
    }
  }

  /** What writes these additions. */
  async #change(additions: readonly Addition<Unit, Row>[]) {
    const placed = this.#placed(additions);
    const stored = await this.#stored(placed);
    const units = new Map<string, Unit>();
    const rows = new Map<string, Counted<Row>>();
    for (const { addition, unit, choices } of placed) {
      const known = units.get(unit) ?? this.#unit(unit, units, stored.units);
      if (known === undefined) continue;
      const current = addition.about?.(known) ?? known;
      const choice = this.#choice(choices, known, (key) => rows.get(key) ?? stored.rows.get(key));
      if (choice === undefined) {
        units.set(unit, { ...current, uncounted: known.uncounted + addition.count });
        this.#crowded(unit, `more than ${this.#limits.rows} different rows`);
        continue;
      }
      const { key, row, before } = choice;
      units.set(unit, before === undefined ? { ...current, rows: known.rows + 1 } : current);
      rows.set(key, { count: (before?.count ?? 0) + addition.count, row });
    }
    const operations = [
      ...[...units].map(([unit, record]) => putJson(this.#unitKey(unit), record)),
      ...[...rows].map(([key, record]) => putJson(key, record)),
    ];
    return { operations, units: new Map([...units].map(([unit, { epoch }]): [string, Known] => [unit, { epoch }])) };
  }

  /** The first row that is there, or that there is room for. */
  #choice(
    choices: Placed<Unit, Row>['choices'],
    unit: Unit,
    find: (key: string) => Counted<Row> | undefined,
  ): { key: string; row: Row; before: Counted<Row> | undefined } | undefined {
    for (const [n, { key, row }] of choices.entries()) {
      const before = find(key);
      const most = this.#limits.rows + (n === 0 ? 0 : MOST_COARSE);
      if (before !== undefined || unit.rows < most) return { key, row, before };
    }
    return undefined;
  }

  /** Where each addition is counted. */
  #placed(additions: readonly Addition<Unit, Row>[]): Placed<Unit, Row>[] {
    // Today is open, whatever a clock that was wrong had closed.
    const today = dayOf(this.#now());
    const floor = this.#closed < today ? this.#closed && dayAfter(this.#closed) : today;
    const { coarser } = this.#kind;
    return additions.map((addition) => {
      const day = dayOf(addition.at);
      const unit = unitOf(addition.domain, day < floor ? floor : day);
      const rows = coarser === undefined ? [addition.row] : [addition.row, coarser(addition.row)];
      return { addition, unit, choices: rows.map((row) => ({ key: this.#rowKey(unit, hashOf(row)), row })) };
    });
  }

  /** What the disk has of the units and rows of these additions, by their keys. */
  async #stored(placed: readonly Placed<Unit, Row>[]): Promise<Stored<Unit, Row>> {
    const units = placed.map(({ unit }) => unit).filter((unit) => this.#units.has(unit));
    const rows = placed.flatMap(({ choices }) => choices.map(({ key }) => key));
    return {
      units: await this.#records.many(
        this.#kind.unit,
        units.map((unit) => this.#unitKey(unit)),
      ),
      rows: await this.#records.many(this.#kind.row, rows),
    };
  }

  #unit(unit: string, changed: ReadonlyMap<string, Unit>, stored: ReadonlyMap<string, Unit>): Unit | undefined {
    if (!this.#units.has(unit) && this.#units.size + changed.size >= this.#limits.units) {
      this.#crowded(unit, `more than ${this.#limits.units} domains and days`);
      return undefined;
    }
    return stored.get(this.#unitKey(unit)) ?? this.#kind.empty;
  }

  #crowded(unit: string, limit: string): void {
    const { counts, name } = this.#kind;
    this.#crowding.say(unit, (repeated) =>
      this.#log.warn({ unit, ...repeated }, `a ${counts} is missing from a ${name} report: there are ${limit}`),
    );
  }

  get #closedKey(): string {
    return `${this.#kind.prefix}-closed`;
  }

  #unitKey(unit: string): string {
    return `${this.#kind.prefix}-unit!${unit}`;
  }

  #rowKey(unit: string, hash: string): string {
    return `${this.#kind.prefix}-row!${unit}!${hash}`;
  }

  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

/** Rows are the same when all of them is. */
function hashOf(row: unknown): string {
  return createHash('sha256').update(JSON.stringify(row)).digest('base64url').slice(0, 24);
}
