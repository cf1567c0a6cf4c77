import { createHash } from 'node:crypto';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { CountedRow, type ReportPage, ReportUnit as Unit } from '#shared/mail/dmarc-rows.ts';
import { keys, putJson } from '../store/records.ts';
import { readable } from '../store/recovery.ts';
import { RecordReader } from './record-reader.ts';
import { Closed, DAY_MS, dayAfter, dayOf, Note, reportKeys, unitOf } from './records.ts';

/**
 * What this node counted for the reports, on its disk.
 *
 * Each message that counts leaves a note, written in the same batch as the message: so one that is accepted is counted once,
 * whatever fails. Notes become rows a moment later, many in one batch, which deletes them and adds to the rows.
 *
 * A day is open until it is closed; then its rows do not change any more, and can be given away page by page. What comes
 * for a day that is closed is counted on the first day that is open.
 *
 * Bounded: whoever owns domains and sends mail decides how many units and rows there are. What is beyond is not counted;
 * a unit knows how many messages that were, and the report says it.
 */

export const MOST_UNITS = 50_000;
export const MOST_ROWS = 10_000;
/** Notes that become rows in one batch. */
const BATCH = 500;
/** Characters of the rows of one page: NATS carries 1 MB. */
const PAGE_CHARACTERS = 256 * 1024;
/** Rows that nobody has asked for in so long are of no use any more. */
const KEEP_MS = 14 * DAY_MS;

/** What memory knows of a unit. */
type Known = { epoch: number | undefined };
/** A note, the unit that counts it, and the key of its row. */
type Placed = { note: Note; unit: string; key: string };
type Limits = { units: number; rows: number };
/** `now`: ms since 1970. */
type CountsDeps = { store: Store; log: Logger; limits?: Limits; now?: (() => number) | undefined };

export class Counts {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #records: RecordReader;
  readonly #limits: Limits;
  readonly #now: () => number;
  readonly #crowding = new LimitedLog();
  readonly #units = new Map<string, Known>();
  /** Notes that are on disk, by queue id. */
  #notes = new Map<string, Note>();
  #closed = '';
  /** One change of the rows at a time. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor({ store, log, limits = { units: MOST_UNITS, rows: MOST_ROWS }, now = Date.now }: CountsDeps) {
    this.#store = store;
    this.#log = log;
    this.#records = new RecordReader(store, log);
    this.#limits = limits;
    this.#now = now;
  }

  /** Find what is on disk, and count what is left of the last run of the process. Rejects with `store-failed`. */
  static async load(deps: CountsDeps): Promise<Counts> {
    const { store, log } = deps;
    const counts = new Counts(deps);
    counts.#closed = (await counts.#records.one(Closed, reportKeys.closed))?.day ?? '';
    for await (const [key, value] of readable(store, 'dmarc-unit', log)) {
      const unit = counts.#records.parse(Unit, key, value);
      counts.#units.set(key.slice(key.indexOf('!') + 1), { epoch: unit?.epoch });
    }
    for await (const [key, value] of readable(store, 'dmarc-note', log)) {
      const note = counts.#records.parse(Note, key, value);
      if (note !== undefined) counts.#notes.set(key.slice(key.indexOf('!') + 1), note);
      if (counts.#notes.size >= BATCH) await counts.settle();
    }
    await counts.settle();
    return counts;
  }

  /** What writes the note of a message. */
  writing(queueId: string, note: Note): StoreOperation {
    return putJson(keys.reportNote(queueId), note);
  }

  /** The note of a message is on disk. */
  written(queueId: string, note: Note): void {
    this.#notes.set(queueId, note);
    if (this.#notes.size === BATCH) void this.settle().catch(() => undefined);
  }

  /** Make rows of all notes. Rejects with `store-failed`; they are kept then. */
  settle(): Promise<void> {
    return this.#inTurn(async () => {
      while (this.#notes.size > 0) {
        const some = new Map([...this.#notes].slice(0, BATCH));
        const change = await this.#change(some);
        await this.#store.write([
          ...change.operations,
          ...some.keys().map((id): StoreOperation => ({ type: 'del', key: keys.reportNote(id) })),
        ]);
        for (const id of some.keys()) this.#notes.delete(id);
        for (const [unit, known] of change.units) this.#units.set(unit, known);
      }
    });
  }

  /** Let no more rows come to this day and those before. Rejects with `store-failed`. */
  async close(day: string): Promise<void> {
    await this.settle();
    await this.#inTurn(async () => {
      if (day <= this.#closed && this.#closed < dayOf(this.#now())) return;
      await this.#store.write([putJson(reportKeys.closed, { day })]);
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
  async page(unit: string, epoch: number, after: string): Promise<ReportPage | undefined> {
    if (!this.#units.has(unit)) return undefined;
    const record = await this.#records.one(Unit, reportKeys.unit(unit));
    if (record === undefined) return undefined;
    if (record.epoch !== epoch) {
      await this.#store.write([putJson(reportKeys.unit(unit), { ...record, epoch })]);
      this.#units.set(unit, { epoch });
    }
    const rows: CountedRow[] = [];
    let size = 0;
    for await (const [key, value] of readable(
      this.#store,
      `dmarc-row!${unit}`,
      this.#log,
      reportKeys.row(unit, after),
    )) {
      const counted = this.#records.parse(CountedRow, key, value);
      if (counted !== undefined) rows.push(counted);
      size += value.length;
      if (size >= PAGE_CHARACTERS) return { unit: record, rows, next: key.slice(key.lastIndexOf('!') + 1) };
    }
    return { unit: record, rows };
  }

  /** What deletes a unit, which memory forgets at once. */
  async removal(unit: string): Promise<StoreOperation[]> {
    const operations: StoreOperation[] = [{ type: 'del', key: reportKeys.unit(unit) }];
    for await (const [key] of readable(this.#store, `dmarc-row!${unit}`, this.#log))
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
      if (isOld) this.#log.warn({ unit }, 'rows of a DMARC report were deleted: in 14 days no router asked for them');
      await this.#store.write(await this.removal(unit));
    }
  }

  /** The batch that makes rows of notes. */
  async #change(notes: ReadonlyMap<string, Note>) {
    const placed = this.#placed(notes);
    const stored = await this.#stored(placed);
    const units = new Map<string, Unit>();
    const rows = new Map<string, CountedRow>();
    for (const { note, unit, key } of placed) {
      const { at, published, row } = note;
      const known = units.get(unit) ?? this.#unit(unit, units.size, stored.units);
      if (known === undefined) continue;
      const current = at >= known.seen ? { ...known, published, seen: at } : known;
      const before = rows.get(key) ?? stored.rows.get(key);
      if (before === undefined && known.rows >= this.#limits.rows) {
        units.set(unit, { ...current, uncounted: known.uncounted + 1 });
        this.#crowded(unit, `more than ${this.#limits.rows} different rows`);
        continue;
      }
      units.set(unit, before === undefined ? { ...current, rows: known.rows + 1 } : current);
      rows.set(key, { count: (before?.count ?? 0) + 1, row });
    }
    const operations = [
      ...[...units].map(([unit, record]) => putJson(reportKeys.unit(unit), record)),
      ...[...rows].map(([key, record]) => putJson(key, record)),
    ];
    return { operations, units: new Map([...units].map(([unit, { epoch }]): [string, Known] => [unit, { epoch }])) };
  }

  /** Where each note is counted. */
  #placed(notes: ReadonlyMap<string, Note>): Placed[] {
    // Today is open, whatever a clock that was wrong had closed.
    const today = dayOf(this.#now());
    const floor = this.#closed < today ? this.#closed && dayAfter(this.#closed) : today;
    return [...notes.values()].map((note) => {
      const day = dayOf(note.at);
      const unit = unitOf(note.domain, day < floor ? floor : day);
      return { note, unit, key: reportKeys.row(unit, hashOf(note.row)) };
    });
  }

  /** What the disk has of the units and rows of these notes, by their keys. */
  async #stored(placed: readonly Placed[]) {
    const units = placed.map(({ unit }) => unit).filter((unit) => this.#units.has(unit));
    const rows = placed.map(({ key }) => key);
    return {
      units: await this.#records.many(Unit, units.map(reportKeys.unit)),
      rows: await this.#records.many(CountedRow, rows),
    };
  }

  #unit(unit: string, more: number, stored: ReadonlyMap<string, Unit>): Unit | undefined {
    if (!this.#units.has(unit) && this.#units.size + more >= this.#limits.units) {
      this.#crowded(unit, `more than ${this.#limits.units} domains and days`);
      return undefined;
    }
    return stored.get(reportKeys.unit(unit)) ?? { published: NOTHING, seen: 0, rows: 0, uncounted: 0 };
  }

  #crowded(unit: string, limit: string): void {
    this.#crowding.say(unit, (repeated) =>
      this.#log.warn({ unit, ...repeated }, `a message is missing from a DMARC report: there are ${limit}`),
    );
  }

  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

const NOTHING: Unit['published'] = { p: 'none', adkim: 'r', aspf: 'r', testing: false, rua: '' };

/** Rows are the same when all of them is. */
function hashOf(row: Note['row']): string {
  return createHash('sha256').update(JSON.stringify(row)).digest('base64url').slice(0, 24);
}
