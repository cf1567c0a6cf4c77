import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import type { Store, StoreOperation } from '#cluster/store.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { REPORT_PART_ROWS, ReportHead } from '#shared/mail/reports/dmarc-report.ts';
import { numbered, parseRecord, putJson, rangeOf } from '../store/records.ts';
import type { ReceivedKind, ReceivedReport } from './kinds.ts';
import { ReportShares, SHARE_LIMITS, type Share, type Size } from './report-shares.ts';

/**
 * The reports of one kind that came to this node, in the store of its queue: a head (`report!<key>`) and its rows in parts
 * (`report-rows!<key>!<nnnnn>`; TLS reports have names of their own). The key is a digest of what names a report, so that one that is sent twice is kept once,
 * and is known again among those of other nodes.
 *
 * Where a share (report-shares.ts) is full, its oldest reports make room. If new ones were refused instead, whoever fills
 * it would keep all others out for as long as reports are kept, and the refused would go to people's mailboxes.
 */

/** Rows and heads in one answer: NATS carries 1 MB. */
const PAGE_ROWS = 1000;
const PAGE_REPORTS = 300;
/** Heads that one answer passes over. */
const PAGE_HEADS = 5000;
const PURGE_BATCH = 500;

/** Of a part of a report that was kept before its size was. */
const PART_BYTES = 64_000;

/** A head as it is on disk: with the bytes of itself and its rows. */
const KeptHead = ReportHead.extend({ bytes: z.number().int().nonnegative().optional() });
type KeptHead = z.infer<typeof KeptHead>;

/** One part of a report. */
type Part<Row> = { key: string; head: ReportHead; part: number; rows: Row[] };

export type ReportSelection = { domain?: string | undefined; since?: number | undefined };

export class ReportStore<Row extends { count: number }> {
  readonly #kind: ReceivedKind<Row>;
  readonly #rows: z.ZodType<Row[]>;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #damaged = new LimitedLog();
  readonly #displaced = new LimitedLog();
  readonly #limits: typeof SHARE_LIMITS;
  /** What there is; unknown until somebody asks. */
  #shares: Promise<ReportShares> | undefined;

  constructor(kind: ReceivedKind<Row>, store: Store, log: Logger, limits = SHARE_LIMITS) {
    this.#kind = kind;
    this.#rows = z.array(kind.row).max(REPORT_PART_ROWS);
    this.#store = store;
    this.#log = log;
    this.#limits = limits;
  }

  /**
   * Keep a report; `dmarc` is about the mail that brought it. False: it is known. One in mail that passed takes the place of
   * one in mail that did not. Where its share is full, the oldest of it go. Rejects as the store does.
   */
  async keep(report: ReceivedReport<Row>, arrived: number, dmarc?: ReportHead['dmarc']): Promise<boolean> {
    const { rows, ...named } = report;
    const key = keyOf(report);
    const before = await this.#store.get(this.#headKey(key));
    const known = before === undefined ? undefined : this.#read(ReportHead, this.#headKey(key), before);
    if (known !== undefined && (dmarc !== 'pass' || known.dmarc === 'pass')) return false;
    const parts = Math.max(1, Math.ceil(rows.length / REPORT_PART_ROWS));
    const messages = rows.reduce((sum, row) => sum + row.count, 0);
    const head: KeptHead = { ...named, arrived, parts, messages, ...(dmarc !== undefined && { dmarc }) };
    const operations: StoreOperation[] = [];
    for (let part = 0; part < parts; part++) {
      const some = rows.slice(part * REPORT_PART_ROWS, (part + 1) * REPORT_PART_ROWS);
      operations.push(putJson(this.#rowsKey(key, part), some));
    }
    head.bytes = [putJson(this.#headKey(key), head), ...operations].reduce(bytesWith, 0);
    operations.push(putJson(this.#headKey(key), head));
    for (let part = parts; part < (known?.parts ?? 0); part++)
      operations.push({ type: 'del', key: this.#rowsKey(key, part) });
    const share = shareOf(head);
    const size = { bytes: head.bytes, parts };
    const shares = await this.#known();
    await this.#makeRoom(shares, share, size.bytes, key);
    await this.#store.write(operations);
    shares.add(share, key, size);
    return true;
  }

  async #makeRoom(shares: ReportShares, share: Share, bytes: number, except: string): Promise<void> {
    for (;;) {
      const oldest = shares.surplus(share, bytes, PURGE_BATCH, except);
      if (oldest.length === 0) return;
      await this.#store.write(oldest.flatMap(([key, { parts }]) => this.#deletions(key, parts)));
      for (const [key] of oldest) shares.remove(key);
      const fields = { reports: oldest.length, passedDmarc: share === 'proven', limits: this.#limits[share] };
      this.#displaced.say(share, (repeated) =>
        this.#log.warn(
          { ...fields, ...repeated },
          `too many ${this.#kind.name} reports came, the oldest are deleted to make room`,
        ),
      );
    }
  }

  /** What there is: the heads are read once, and there are never more than the limits allow. */
  #known(): Promise<ReportShares> {
    this.#shares ??= this.#count().catch((error: unknown) => {
      this.#shares = undefined;
      throw error;
    });
    return this.#shares;
  }

  async #count(): Promise<ReportShares> {
    const found: { key: string; arrived: number; share: Share; size: Size }[] = [];
    for await (const [at, value] of this.#store.entries(rangeOf(this.#kind.prefix))) {
      const head = this.#read(KeptHead, at, value);
      // A damaged one goes with the next purge.
      if (head === undefined) continue;
      const { arrived, parts, bytes = parts * PART_BYTES } = head;
      found.push({ key: at.slice(this.#headKey('').length), arrived, share: shareOf(head), size: { bytes, parts } });
      if (found.length % PURGE_BATCH === 0) await nextTurn();
    }
    const shares = new ReportShares(this.#limits);
    for (const { key, share, size } of found.sort((a, b) => a.arrived - b.arrived)) shares.add(share, key, size);
    return shares;
  }

  /** Parts of reports after `after`, a page at a time: `next` where there is more. */
  async page(selection: ReportSelection, after = ''): Promise<{ parts: Part<Row>[]; next?: string }> {
    const [first = '', from = '0'] = after.split('!');
    const parts: Part<Row>[] = [];
    let [heads, rows] = [0, 0];
    for await (const [at, value] of this.#store.entries({ ...rangeOf(this.#kind.prefix), gte: this.#headKey(first) })) {
      const key = at.slice(this.#headKey('').length);
      if (++heads > PAGE_HEADS) return { parts, next: `${key}!0` };
      const head = this.#read(ReportHead, at, value);
      if (head === undefined || !isSelected(head, selection)) continue;
      for (let part = key === first ? Number(from) : 0; part < head.parts; part++) {
        if (rows >= PAGE_ROWS || parts.length >= PAGE_REPORTS) return { parts, next: `${key}!${part}` };
        const name = this.#rowsKey(key, part);
        const some = this.#read(this.#rows, name, await this.#store.get(name));
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
    let gone: string[] = [];
    const shares = await this.#known();
    const flush = async (): Promise<void> => {
      if (operations.length > 0) await this.#store.write(operations);
      for (const key of gone) shares.remove(key);
      [operations, gone] = [[], []];
      await nextTurn();
    };
    for await (const [at, value] of this.#store.entries(rangeOf(this.#kind.prefix))) {
      const head = this.#read(ReportHead, at, value);
      // A damaged one is of no use.
      if (head !== undefined && head.end >= before) continue;
      const key = at.slice(this.#headKey('').length);
      operations.push({ type: 'del', key: at });
      for await (const name of this.#store.keys(rangeOf(`${this.#kind.prefix}-rows!${key}`)))
        operations.push({ type: 'del', key: name });
      gone.push(key);
      count++;
      if (operations.length >= PURGE_BATCH) await flush();
    }
    await flush();
    return count;
  }

  #headKey(key: string): string {
    return `${this.#kind.prefix}!${key}`;
  }

  #rowsKey(key: string, part: number): string {
    return `${this.#kind.prefix}-rows!${key}!${numbered(part)}`;
  }

  #deletions(key: string, parts: number): StoreOperation[] {
    const rows = Array.from({ length: parts }, (_, part) => this.#rowsKey(key, part));
    return [this.#headKey(key), ...rows].map((name) => ({ type: 'del', key: name }));
  }

  /** Undefined, with a log line, where it cannot be read. */
  #read<S extends z.ZodType>(schema: S, key: string, value: Buffer | undefined): z.output<S> | undefined {
    try {
      return parseRecord(schema, key, value);
    } catch (error) {
      this.#damaged.say('', (repeated) =>
        this.#log.warn(
          { key, error: errorText(error), ...repeated },
          `a kept ${this.#kind.name} report is damaged, it is left out`,
        ),
      );
      return undefined;
    }
  }
}

function shareOf({ dmarc }: ReportHead): Share {
  return dmarc === 'pass' ? 'proven' : 'unproven';
}

function bytesWith(sum: number, operation: StoreOperation): number {
  return sum + (operation.type === 'put' ? operation.value.length : 0);
}

/** RFC 9990 §3.1.1.4: an organisation gives each report an id of its own. */
function keyOf({ organisation, id, domain }: Pick<ReportHead, 'organisation' | 'id' | 'domain'>): string {
  const name = JSON.stringify([organisation.toLowerCase(), id, domain]);
  return createHash('sha256').update(name).digest('hex').slice(0, 32);
}

function isSelected({ domain, end }: ReportHead, selection: ReportSelection): boolean {
  const { domain: wanted = domain, since = 0 } = selection;
  return end >= since && (domain === wanted || domain.endsWith(`.${wanted}`));
}
