import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '#cluster/config/settings.ts';
import { normalizeDomain } from '#shared/address/address.ts';
import { nearest } from '#shared/address/domains.ts';
import { errorText } from '#shared/errors.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { type Reply, reply } from '#shared/mail/reply.ts';
import { allRecipients } from '../delivery/channel.ts';
import { Fifo } from '../delivery/fifo.ts';
import type { Delivery, Job, NextHop } from '../delivery/job.ts';
import type { Space } from '../store/space.ts';
import { type AggregateReport, readAggregateReport } from './aggregate-report.ts';
import { reportAttachment } from './attachment.ts';
import type { ReportStore } from './report-store.ts';
import { unpack } from './unpack.ts';
import { Unreadable } from './unreadable.ts';

/**
 * Reads the mail to the addresses in `authenticity.dmarc.reports.receive`. It stands between the queue and delivery: the
 * jobs for other recipients pass; those for a report address wait here and are read one after the other, with pauses, so
 * that they take a bounded share of this node.
 *
 *   waiting → reading → kept      the report is on disk: the mail has arrived
 *                     → onward    it is no report that can be read: it goes where the mail of its recipient goes
 *                     → deferred  this node cannot read or write now
 */

export type ReportReaderDeps = { settings: Settings; log: Logger; reports: ReportStore; space: Space };

/** `onward`: where it goes if it is no report. */
type Waiting = { onward: NextHop; job: Job };

const STOPPING = reply(451, '4.3.2', 'delivery stops on this node, the message stays in its queue');
const DAY_MS = 86_400_000;
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
    const { log } = this.#deps;
    const { queueId, trace, reversePath: from } = job;
    try {
      const opened = await job.open();
      if (!opened.ok) return await job.finish(allRecipients(job, opened));
      const report = await this.#read(opened.read());
      const { organisation, id, domain, rows, unreadable } = report;
      const dmarc = job.authenticity?.dmarc.result;
      const isNew = await this.#deps.reports.keep(report, Date.now(), dmarc);
      const fields = { queueId, trace, from, organisation, report: id, domain, rows: rows.length, unreadable, dmarc };
      log.info(fields, isNew ? 'DMARC report kept' : 'DMARC report is known already, it is not counted again');
      const text = `DMARC report ${id} of ${organisation} about ${domain} ${isNew ? 'kept' : 'known already'}`;
      const kept = { state: 'delivered', reply: reply(250, '2.0.0', text), notice: 'final', host: 'reports' } as const;
      await job.finish(allRecipients(job, kept));
    } catch (error) {
      if (error instanceof Unreadable) this.#pass(onward, job, error.message);
      else await job.finish(allRecipients(job, { state: 'deferred', reply: trouble(error), local: true }));
    }
  }

  /** Rejects with `Unreadable`, or as the queue does. */
  async #read(message: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<AggregateReport> {
    const { domains, authenticity } = this.#deps.settings.current;
    const report = await readAggregateReport(unpack(await reportAttachment(message)));
    const { domain, end } = report;
    const names = new Set(domains.map(({ name }) => normalizeDomain(name)));
    if (nearest(domain, (name) => names.has(name) || undefined) === undefined) {
      throw new Unreadable(`the report in it is about ${domain}, which is not below a name in "domains"`);
    }
    if (end > Date.now() + DAY_MS) throw new Unreadable('the report in it is about a time to come');
    if (end < Date.now() - authenticity.dmarc.reports.keep) {
      throw new Unreadable('the report in it is older than authenticity.dmarc.reports.keep');
    }
    if (this.#deps.space.available() <= 0) throw new Error('free space is below queue.reserve');
    return report;
  }

  #pass(onward: NextHop, job: Job, reason: string): void {
    const { queueId, trace, reversePath: from } = job;
    const fields = { queueId, trace, from, to: job.recipients[0]?.recipient.address, reason };
    this.#limited.say('', (repeated) =>
      this.#deps.log.warn(
        { ...fields, ...repeated },
        'mail to an address for DMARC reports is not read as one, it is delivered like other mail',
      ),
    );
    this.#inner.submit(onward, job);
  }
}

function trouble(error: unknown): Reply {
  return reply(451, '4.3.0', `the DMARC report cannot be read or kept now: ${errorText(error)}`);
}
