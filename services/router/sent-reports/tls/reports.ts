import { createHash } from 'node:crypto';
import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import { domainOf } from '#shared/address/address.ts';
import type { TlsReportUnit, TlsRow } from '#shared/mail/reports/tls-rows.ts';
import type { TlsResult } from '../../delivery/tls-policy/result.ts';
import { DailyReports } from '../daily/daily-reports.ts';
import type { ReportClaims } from '../daily/report-claims.ts';
import type { SenderDeps } from '../dmarc/sender.ts';
import { TlsCounts } from './counts.ts';
import { TLS } from './kind.ts';
import { Outbox } from './outbox.ts';
import { TlsReportSender, tlsSubmitterOf } from './sender.ts';

/**
 * TLS reports (RFC 8460): a domain that asks for them hears once a day how the sessions with its mail exchangers were
 * protected, and why not.
 *
 *   row.ts            what counts of a session; pure
 *   counts.ts         sessions become rows
 *   policy-record.ts  who wants a report
 *   sender.ts         the report on one unit; report.ts: its form
 *   outbox.ts         reports that are posted; post.ts: one attempt
 *   ../daily/         one report a day and domain; ../report-mail.ts: a report as mail
 */

export type TlsReportsDeps = SenderDeps & {
  store: Store;
  claims: ReportClaims;
  router: Calls<'router', 'router'>;
  /** ms since 1970 */
  now?: (() => number) | undefined;
};

/** RFC 8460 §4.1: senders should not all report at the same time, but within some hours. */
const SPREAD_MS = 4 * 3_600_000;

export class TlsReports {
  readonly daily: DailyReports<TlsReportUnit, TlsRow>;
  readonly #settings: Settings;
  readonly #counts: TlsCounts;
  readonly #outbox: Outbox;

  private constructor(deps: TlsReportsDeps, counts: TlsCounts, outbox: Outbox) {
    const { router, settings, store } = deps;
    this.#settings = settings;
    this.#counts = counts;
    this.#outbox = outbox;
    this.daily = new DailyReports({
      ...deps,
      kind: TLS,
      rows: counts.rows,
      settle: () => counts.settle(),
      sender: new TlsReportSender({ ...deps, outbox, persist: (operations) => store.persist(operations) }),
      ask: {
        units: async (request, node) => (await router['tls-unit-list'](request, { node })).units,
        rows: async (request, node) => (await router['tls-row-list'](request, { node })).page,
      },
      isOn: () => tlsSubmitterOf(settings.current) !== undefined,
      spreadMs: () => spreadOf(tlsSubmitterOf(settings.current)?.from ?? ''),
    });
  }

  /** Rejects with `store-failed`. */
  static async open(deps: TlsReportsDeps): Promise<TlsReports> {
    return new TlsReports(deps, await TlsCounts.load(deps), await Outbox.load(deps));
  }

  /** Count a session. Never throws and does not wait. */
  count(result: TlsResult): void {
    if (tlsSubmitterOf(this.#settings.current) !== undefined) this.#counts.count(result);
  }

  begin(): void {
    this.daily.begin();
    this.#outbox.begin();
  }

  async stop(): Promise<void> {
    await Promise.all([this.daily.stop(), this.#outbox.stop()]);
  }
}

/** The same every night and on all nodes, and another one for every organisation. */
function spreadOf(from: string): number {
  return createHash('sha256').update(domainOf(from)).digest().readUInt32BE() % SPREAD_MS;
}
