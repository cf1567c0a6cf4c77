import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import type { Logger } from '#shared/log.ts';
import { REPORTS_KEY, TLS_REPORTS_KEY } from '../copies/claims.ts';
import type { Copies } from '../copies/copies.ts';
import type { Queue } from '../queue/queue.ts';
import type { OnSettled } from '../queue/settling/settlement.ts';
import type { SearchIndex } from '../receipts/search-index.ts';
import type { Bodies } from '../store/bodies.ts';
import { ReportClaims } from './daily/report-claims.ts';
import type { Resolve } from './destinations.ts';
import { DmarcReports, type DmarcReportsDeps } from './dmarc/reports.ts';
import { TlsReports } from './tls/reports.ts';

export type ReportsParts = {
  settings: Settings;
  log: Logger;
  store: Store;
  router: Calls<'router', 'router'>;
  bodies: Bodies;
  index: SearchIndex;
  copies: Copies;
  queue: Queue;
  onSettled: OnSettled;
};

/** What is asked in DNS, and the clock, where these are not the usual ones. */
export type ReportsTools = { resolve?: Resolve; now?: () => number };

/** The reports of a router, with what they need of its other parts. Rejects with `store-failed`. */
export async function openReports(parts: ReportsParts, tools: ReportsTools = {}) {
  const { settings, log, store, router, bodies, index, copies, queue, onSettled } = parts;
  const commit: DmarcReportsDeps['commit'] = async ({ message, operations, body }) => {
    await store.persist([...operations, ...index.addMessage(message)]);
    bodies.keep(message, body);
    queue.add(message);
    await onSettled(undefined, { id: message.id, gone: false, operations: [], notices: [message] });
  };
  const place = { map: copies.map, watch: copies.watch, store: copies.name };
  const head: DmarcReportsDeps['head'] = (message, bytes) => bodies.head(message, bytes);
  const common = { settings, log, store, router, commit, resolve: createResolve(settings), ...tools };
  const dmarc = await DmarcReports.open({ ...common, claims: new ReportClaims(place, REPORTS_KEY), head });
  const tls = await TlsReports.open({ ...common, claims: new ReportClaims(place, TLS_REPORTS_KEY) });
  return {
    dmarc,
    tls,
    begin(): void {
      dmarc.begin();
      tls.begin();
    },
    stop: () => Promise.all([dmarc.stop(), tls.stop()]),
  };
}

/** Asks `dns.servers`, and follows a change of these. */
function createResolve(settings: Settings): Resolve {
  const resolver = new DnsResolver(settings.current.dns);
  settings.onChange(({ dns }) => resolver.configure(dns));
  return (name, type) => mailauthResolver(resolver, { timeoutMs: settings.current.dns.timeout })(name, type);
}
