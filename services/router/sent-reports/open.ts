import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import type { Logger } from '#shared/log.ts';
import { REPORTS_KEY } from '../copies/claims.ts';
import type { Copies } from '../copies/copies.ts';
import type { Queue } from '../queue/queue.ts';
import type { OnSettled } from '../queue/settlement.ts';
import type { Bodies } from '../store/bodies.ts';
import { ReportClaims } from './daily/report-claims.ts';
import type { Resolve } from './destinations.ts';
import { DmarcReports, type DmarcReportsDeps } from './dmarc/reports.ts';

export type ReportsParts = {
  settings: Settings;
  log: Logger;
  store: Store;
  router: Calls<'router', 'router'>;
  bodies: Bodies;
  copies: Copies;
  queue: Queue;
  onSettled: OnSettled;
};

/** What is asked in DNS, and the clock, where these are not the usual ones. */
export type ReportsTools = { resolve?: Resolve; now?: () => number };

/** The reports of a router, with what they need of its other parts. Rejects with `store-failed`. */
export function openReports(parts: ReportsParts, tools: ReportsTools = {}): Promise<DmarcReports> {
  const { settings, log, store, router, bodies, copies, queue, onSettled } = parts;
  const commit: DmarcReportsDeps['commit'] = async ({ message, operations, body }) => {
    await store.persist(operations);
    bodies.keep(message, body);
    queue.add(message);
    await onSettled(undefined, { id: message.id, gone: false, operations: [], notices: [message] });
  };
  const claims = new ReportClaims({ map: copies.map, watch: copies.watch, store: copies.name }, REPORTS_KEY);
  const head: DmarcReportsDeps['head'] = (message, bytes) => bodies.head(message, bytes);
  const resolve = createResolve(settings);
  return DmarcReports.open({ settings, log, store, router, claims, commit, head, resolve, ...tools });
}

/** Asks `dns.servers`, and follows a change of these. */
function createResolve(settings: Settings): Resolve {
  const resolver = new DnsResolver(settings.current.dns);
  settings.onChange(({ dns }) => resolver.configure(dns));
  return (name, type) => mailauthResolver(resolver, { timeoutMs: settings.current.dns.timeout })(name, type);
}
