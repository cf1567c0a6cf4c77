import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { REPORT_PART_ROWS, ReportHead, type ReportPart, ReportRow } from '#shared/mail/dmarc-report.ts';
import { keys, parseRecord, putJson, rangeOf } from '../store/records.ts';
import type { AggregateReport } from './aggregate-report.ts';
import { Unreadable } from './unreadable.ts';

/**
 * The reports that came to this node, in the store of its queue: a head (`report!<key>`) and its rows in parts
 * (`report-rows!<key>!<nnnnn>`). The key is a digest of what names a report, so that one that is sent twice is kept once,
 * and is known again among those of other nodes.
 */

/** Reports of all domains: some years of those of a large organisation. */
const MOST_REPORTS = 50_000;
/** Rows and heads in one answer: NATS carries 1 MB. */
const PAGE_ROWS = 1000;
const PAGE_REPORTS = 300;
/** Heads that one answer passes over. */
const PAGE_HEADS = 5000;
const PURGE_BATCH = 500;

const Rows = z.array(ReportRow).max(REPORT_PART_ROWS);

export type ReportSelection = { domain?: string | undefined; since?: number | undefined };

export class ReportStore {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #damaged = new LimitedLog();
  /** How many there are; unknown at first. */
  #count: number | undefined;

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /**
   * Keep a report; `dmarc` is about the mail that brought it. False: it is known. One in mail that passed takes the place of
   * one in mail that did not. Rejects with `Unreadable` where there are too many, or as the store does.
   */
  async keep(report: AggregateReport, arrived: number, dmarc?: ReportHead['dmarc']): Promise<boolean> {
    const { rows, ...named } = report;
    const key = keyOf(report);
    const before = await this.#store.get(keys.report(key));
    const known = before === undefined ? undefined : this.#read(ReportHead, keys.report(key), before);
    if (known !== undefined && (dmarc !== 'pass' || known.dmarc === 'pass')) return false;
    this.#count ??= (await Array.fromAsync(this.#store.keys(rangeOf('report')))).length;
    if (before === undefined && this.#count >= MOST_REPORTS)
      throw new Unreadable(`${MOST_REPORTS} reports are kept already`);
    const parts = Math.max(1, Math.ceil(rows.length / REPORT_PART_ROWS));
    const messages = rows.reduce((sum, row) => sum + row.count, 0);
    const head: ReportHead = { ...named, arrived, parts, messages, ...(dmarc !== undefined && { dmarc }) };
    const operations: StoreOperation[] = [putJson(keys.report(key), head)];
    for (let part = 0; part < parts; part++) {
      const some = rows.slice(part * REPORT_PART_ROWS, (part + 1) * REPORT_PART_ROWS);
      operations.push(putJson(keys.reportRows(key, part), some));
    }
    for (let part = parts; part < (known?.parts ?? 0); part++)
      operations.push({ type: 'del', key: keys.reportRows(key, part) });
    await this.#store.write(operations);
    if (before === undefined) this.#count++;
    return true;
  }

  /** Parts of reports after `after`, a page at a time: `next` where there is more. */
  async page(selection: ReportSelection, after = ''): Promise<{ parts: ReportPart[]; next?: string }> {
    const [first = '', from = '0'] = after.split('!');
    const parts: ReportPart[] = [];
    let [heads, rows] = [0, 0];
    for await (const [at, value] of this.#store.entries({ ...rangeOf('report'), gte: keys.report(first) })) {
      const key = at.slice(keys.report('').length);
      if (++heads > PAGE_HEADS) return { parts, next: `${key}!0` };
      const head = this.#read(ReportHead, at, value);
      if (head === undefined || !isSelected(head, selection)) continue;
      for (let part = key === first ? Number(from) : 0; part < head.parts; part++) {
        if (rows >= PAGE_ROWS || parts.length >= PAGE_REPORTS) return { parts, next: `${key}!${part}` };
        const name = keys.reportRows(key, part);
        const some = this.#read(Rows, name, await this.#store.get(name));
        if (some === undefined) break;
        parts.push({ key, head, part, rows: some });
        rows += some.length;
      }
    }
    return { parts };
  }

  /** Delete reports whose time ended before `before`. Returns how many. */
  async purge(before: number): Promise<number> {
    let count = 0;
    let operations: StoreOperation[] = [];
    const flush = async (): Promise<void> => {
      if (operations.length > 0) await this.#store.write(operations);
      operations = [];
      await nextTurn();
    };
    for await (const [at, value] of this.#store.entries(rangeOf('report'))) {
      const head = this.#read(ReportHead, at, value);
      // A damaged one is of no use.
      if (head !== undefined && head.end >= before) continue;
      const key = at.slice(keys.report('').length);
      operations.push({ type: 'del', key: at });
      for await (const name of this.#store.keys(rangeOf(`report-rows!${key}`)))
        operations.push({ type: 'del', key: name });
      count++;
      if (operations.length >= PURGE_BATCH) await flush();
    }
    await flush();
    if (this.#count !== undefined) this.#count -= count;
    return count;
  }

  /** Undefined, with a log line, where it cannot be read. */
  #read<S extends z.ZodType>(schema: S, key: string, value: Buffer | undefined): z.output<S> | undefined {
    try {
      return parseRecord(schema, key, value);
    } catch (error) {
      this.#damaged.say('', (repeated) =>
        this.#log.warn({ key, error: errorText(error), ...repeated }, 'a kept DMARC report is damaged, it is left out'),
      );
      return undefined;
    }
  }
}

/** RFC 9990 §3.1.1.4: an organisation gives each report an id of its own. */
function keyOf({ organisation, id, domain }: AggregateReport): string {
  const name = JSON.stringify([organisation.toLowerCase(), id, domain]);
  return createHash('sha256').update(name).digest('hex').slice(0, 32);
}

function isSelected({ domain, end }: ReportHead, selection: ReportSelection): boolean {
  const { domain: wanted = domain, since = 0 } = selection;
  return end >= since && (domain === wanted || domain.endsWith(`.${wanted}`));
}
