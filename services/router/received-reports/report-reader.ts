import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { nearest } from '#shared/address/domains.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import type { ReportRow } from '#shared/mail/reports/dmarc-report.ts';
import type { TlsReportRow } from '#shared/mail/reports/tls-report.ts';
import { cut } from '#shared/text.ts';
import { allRecipients, notOurs } from '../delivery/channel.ts';
import { Fifo } from '../delivery/fair-queue.ts';
import type { Delivery, Job, NextHop, Pause } from '../delivery/job.ts';
import type { Space } from '../store/space.ts';
import { readAggregateReport } from './aggregate-report.ts';
import { reportAttachment } from './attachment.ts';
import { DMARC_REPORTS, type ReceivedReport, TLS_REPORTS } from './kinds.ts';
import { ReportStore } from './report-store.ts';
import { readTlsReport } from './tls-report.ts';
import { isJson, unpack } from './unpack.ts';
import { Unreadable } from './unreadable.ts';

/**
 * Reads the mail to the addresses in `authenticity.dmarc.reports.receive` and `delivery.tls-reports.receive`: XML is a DMARC
 * report, JSON one about TLS, at whichever of them. It stands between the queue and delivery: the jobs for other recipients
 * pass; those for a report address wait here and are read one after the other, with pauses, so
 * that they take a bounded share of this node.
 *
 *   waiting → reading → kept      the report is on disk: the mail has arrived
 *                     → onward    it is no report that can be read: it goes where the mail of its recipient goes
 *                     → deferred  this node cannot read or write now
 */

export type ReceivedReports = { dmarc: ReportStore<ReportRow>; tls: ReportStore<TlsReportRow> };
export type ReportReaderDeps = { settings: Settings; log: Logger; reports: ReceivedReports; space: Space };

/** The reports on this node. */
export function openReceivedReports(store: Store, log: Logger): ReceivedReports {
  return { dmarc: new ReportStore(DMARC_REPORTS, store, log), tls: new ReportStore(TLS_REPORTS, store, log) };
}

/** `onward`: where it goes if it is no report. */
type Waiting = { onward: NextHop; job: Job };

const STOPPING = reply(451, '4.3.2', 'delivery stops on this node, the message stays in its queue');
const DAY_MS = 86_400_000;
/** What became of a report about many domains; the log has all of them. */
const LONGEST_REPLY = 500;
/** Between two reports, of the time that the first took: all of them take at most a fifth. */
const PAUSE = 4;

export class ReportReader implements Delivery {
  readonly #deps: ReportReaderDeps;
  readonly #inner: Delivery;
  readonly #waiting = new Fifo<Waiting>();
  readonly #limited = new LimitedLog();
  readonly #stopping = new AbortController();
  #working: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(deps: ReportReaderDeps, inner: Delivery) {
    this.#deps = deps;
    this.#inner = inner;
  }

  submit(hop: NextHop, job: Job): void {
    if (hop.reports === undefined) {
      this.#inner.submit(hop, job);
      return;
    }
    this.#waiting.push({ onward: hop.reports, job });
    this.#working ??= this.#work();
  }

  pauseOf(hop: NextHop | string): Pause | undefined {
    return this.#inner.pauseOf(hop);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#inner.stop(), this.#working]);
  }

  async #work(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (this.#stopped !== undefined)
        await next.job.finish(allRecipients(next.job, { state: 'deferred', reply: STOPPING, local: true }));
      else await this.#unhurried(() => this.#take(next));
    }
    this.#working = undefined;
  }

  /** Do it, and rest: strangers can send what takes a second to read. */
  async #unhurried(read: () => Promise<void>): Promise<void> {
    const began = performance.now();
    await read();
    const ms = (performance.now() - began) * PAUSE;
    if (this.#waiting.length > 0) await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  /** Never rejects. */
  async #take({ onward, job }: Waiting): Promise<void> {
    try {
      const opened = await job.open();
      if (!opened.ok) return await job.finish(allRecipients(job, opened));
      const texts = await this.#keep(opened.read(), job);
      const text = cut(texts.join('; '), LONGEST_REPLY);
      const kept = { state: 'delivered', reply: reply(250, '2.0.0', text), notice: 'final', host: 'reports' } as const;
      await job.finish(allRecipients(job, kept));
    } catch (error) {
      if (error instanceof Unreadable) this.#pass(onward, job, error.message);
      else await job.finish(allRecipients(job, { state: 'deferred', reply: trouble(error), local: true }));
    }
  }

  /** Keep what a message brings; what that is, in words. Rejects with `Unreadable`, or as queue and store do. */
  async #keep(message: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, job: Job): Promise<string[]> {
    const { dmarc, tls } = this.#deps.reports;
    const { authenticity, delivery } = this.#deps.settings.current;
    const pieces = unpack(await reportAttachment(message));
    const first = await pieces.next();
    const text = continued(first, pieces);
    if (!first.done && isJson(first.value)) {
      const found = (await readTlsReport(text)).map((report) =>
        this.#checked(report, delivery['tls-reports'].keep, 'delivery.tls-reports.keep'),
      );
      const texts: string[] = [];
      for (const report of found) texts.push(await this.#keepIn(tls, TLS_REPORTS.name, report, job));
      return texts;
    }
    const { keep } = authenticity.dmarc.reports;
    const report = this.#checked(await readAggregateReport(text), keep, 'authenticity.dmarc.reports.keep');
    return [await this.#keepIn(dmarc, DMARC_REPORTS.name, report, job)];
  }

  async #keepIn<Row extends { count: number }>(
    store: ReportStore<Row>,
    name: string,
    report: ReceivedReport<Row>,
    job: Job,
  ): Promise<string> {
    const { organisation, id, domain, rows, unreadable } = report;
    const dmarc = job.authenticity?.dmarc.result;
    const isNew = await store.keep(report, Date.now(), dmarc);
    const { queueId, trace, reversePath: from } = job;
    const fields = { queueId, trace, from, organisation, report: id, domain, rows: rows.length, unreadable, dmarc };
    const text = isNew ? `${name} report kept` : `${name} report is known already, it is not counted again`;
    this.#deps.log.info(fields, text);
    return `${name} report ${id} of ${organisation} about ${domain} ${isNew ? 'kept' : 'known already'}`;
  }

  /** `keep`, and the name of the option. Throws `Unreadable`, or where the disk is full. */
  #checked<Row>(report: ReceivedReport<Row>, keep: number, option: string): ReceivedReport<Row> {
    const { domain, end } = report;
    const names = new Set(this.#deps.settings.current.domains.map(({ name }) => normalizeDomain(name)));
    if (nearest(domain, (name) => names.has(name) || undefined) === undefined) {
      throw new Unreadable(`the report in it is about ${domain}, which is not below a name in "domains"`);
    }
    if (end > Date.now() + DAY_MS) throw new Unreadable('the report in it is about a time to come');
    if (end < Date.now() - keep) throw new Unreadable(`the report in it is older than ${option}`);
    if (this.#deps.space.available() <= 0) throw new Error('free space is below queue.reserve');
    return report;
  }

  #pass(onward: NextHop, job: Job, reason: string): void {
    const { queueId, trace, reversePath: from } = job;
    const fields = { queueId, trace, from, to: job.recipients[0]?.recipient.address, reason };
    this.#limited.say('', (repeated) =>
      this.#deps.log.warn(
        { ...fields, ...repeated },
        'mail to an address for reports is not read as one, it is delivered like other mail',
      ),
    );
    this.#inner.submit(onward, job);
  }
}

function trouble(error: unknown): Reply {
  return notOurs(error) ?? reply(451, '4.3.0', `the report in it cannot be read or kept now: ${errorText(error)}`);
}

/** The pieces, of which the first was taken. */
async function* continued(first: IteratorResult<Buffer, unknown>, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}
