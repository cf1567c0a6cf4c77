import type { StoreOperation } from '#cluster/store.ts';
import type { DmarcRow, ReportUnit } from '#shared/mail/reports/dmarc-rows.ts';
import { keys, putJson } from '../../store/records.ts';
import { readable } from '../../store/recovery.ts';
import { type Batch, RowStore, type RowStoreDeps } from '../daily/row-store.ts';
import { DMARC } from './kind.ts';
import { Note } from './note.ts';

/**
 * The messages that this node counts for the reports. Each that counts leaves a note, written in the same batch as the
 * message: so one that is accepted is counted once, whatever fails. Notes become rows a moment later, many in one batch,
 * which deletes them and adds to the rows.
 */

/** Notes that become rows in one batch. */
const BATCH = 500;

export class Counts {
  readonly rows: RowStore<ReportUnit, DmarcRow>;
  /** Notes that are on disk, by queue id. */
  readonly #notes = new Map<string, Note>();

  private constructor(rows: RowStore<ReportUnit, DmarcRow>) {
    this.rows = rows;
  }

  /** Find what is on disk, and count what is left of the last run of the process. Rejects with `store-failed`. */
  static async load(deps: RowStoreDeps): Promise<Counts> {
    const counts = new Counts(await RowStore.load(DMARC, deps));
    for await (const [key, value] of readable(deps.store, 'dmarc-note', deps.log)) {
      const note = counts.rows.records.parse(Note, key, value);
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
    return this.rows.settle(() => this.#batch());
  }

  #batch(): Batch<ReportUnit, DmarcRow> | undefined {
    const some = [...this.#notes].slice(0, BATCH);
    if (some.length === 0) return undefined;
    return {
      additions: some.map(([, { at, domain, published, row }]) => ({
        ...{ at, domain, count: 1, row },
        about: (unit) => (at >= unit.seen ? { ...unit, published, seen: at } : unit),
      })),
      operations: some.map(([id]) => ({ type: 'del', key: keys.reportNote(id) })),
      written: () => {
        for (const [id] of some) this.#notes.delete(id);
      },
    };
  }
}
