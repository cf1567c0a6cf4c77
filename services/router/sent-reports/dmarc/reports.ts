import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import type { Origin } from '#shared/mail/envelope.ts';
import type { DmarcRow, ReportUnit } from '#shared/mail/reports/dmarc-rows.ts';
import type { Message } from '../../store/message.ts';
import { DailyReports } from '../daily/daily-reports.ts';
import type { ReportClaims } from '../daily/report-claims.ts';
import { Counts } from './counts.ts';
import { type FailureDeps, FailureReports, type Refused } from './failures/failure-reports.ts';
import { DMARC } from './kind.ts';
import { noteOf } from './note.ts';
import { ReportSender, submitterOf } from './sender.ts';

/**
 * DMARC aggregate reports (RFC 9990): the owner of a domain that asks for them (`rua`) hears once a day which mail in its
 * name this cluster got, and what became of it.
 *
 *   note.ts           what counts of a message; pure
 *   counts.ts         notes become rows
 *   sender.ts         the report on one unit; xml.ts, report-message.ts: its form
 *   failures/         reports on single messages that fail (RFC 9991)
 *   ../daily/         one report a day and domain; ../destinations.ts: where it goes
 *
 * A message is counted when it is accepted, in the same batch of the store, and when it is refused for good. No report is
 * counted: they originate here, and what originates here is not checked.
 */

export type DmarcReportsDeps = FailureDeps & {
  store: Store;
  claims: ReportClaims;
  router: Calls<'router', 'router'>;
  /** ms since 1970 */
  now?: (() => number) | undefined;
};

/** What of a message tells how it is counted. */
type About = { origin: Origin; reversePath: string };

export class DmarcReports {
  readonly daily: DailyReports<ReportUnit, DmarcRow>;
  readonly #deps: DmarcReportsDeps;
  readonly #counts: Counts;
  readonly #failures: FailureReports;

  private constructor(deps: DmarcReportsDeps, counts: Counts) {
    const { router, settings } = deps;
    this.#deps = deps;
    this.#counts = counts;
    this.#failures = new FailureReports(deps);
    this.daily = new DailyReports({
      ...deps,
      kind: DMARC,
      rows: counts.rows,
      settle: () => counts.settle(),
      sender: new ReportSender(deps),
      ask: {
        units: async (request, node) => (await router['dmarc-unit-list'](request, { node })).units,
        rows: async (request, node) => (await router['dmarc-row-list'](request, { node })).page,
      },
      isOn: () => submitterOf(settings.current) !== undefined,
    });
  }

  /** Rejects with `store-failed`. */
  static async open(deps: DmarcReportsDeps): Promise<DmarcReports> {
    return new DmarcReports(deps, await Counts.load(deps));
  }

  begin(): void {
    this.daily.begin();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#failures.stop(), this.daily.stop()]);
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

  #noteOf({ origin, reversePath }: About, found: Authenticity) {
    if (submitterOf(this.#deps.settings.current) === undefined) return undefined;
    return noteOf(found, { origin, reversePath, at: this.#deps.now?.() ?? Date.now() });
  }
}
