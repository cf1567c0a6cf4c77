import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import type { Calls } from '#services/topology.ts';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { DnsResolver } from '#shared/dns/resolver.ts';
import type { Logger } from '#shared/log.ts';
import type { Copies } from '../copies/copies.ts';
import type { Queue } from '../queue/queue.ts';
import type { OnSettled } from '../queue/settlement.ts';
import type { Bodies } from '../store/bodies.ts';
import type { Resolve } from './destinations.ts';
import { ReportClaims } from './report-claims.ts';
import { Reports, type ReportsDeps } from './reports.ts';

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
export function openReports(parts: ReportsParts, tools: ReportsTools = {}): Promise<Reports> {
  const { settings, log, store, router, bodies, copies, queue, onSettled } = parts;
  const commit: ReportsDeps['commit'] = async ({ message, operations, body }) => {
    await store.persist(operations);
    bodies.keep(message, body);
    queue.add(message);
    await onSettled(undefined, { id: message.id, gone: false, operations: [], notices: [message] });
  };
  const claims = new ReportClaims(copies.map, copies.watch, copies.name);
  const head: ReportsDeps['head'] = (message, bytes) => bodies.head(message, bytes);
  const resolve = createResolve(settings);
  return Reports.open({ settings, log, store, router, claims, commit, head, resolve, ...tools });
}

/** Asks `dns.servers`, and follows a change of these. */
function createResolve(settings: Settings): Resolve {
  const resolver = new DnsResolver(settings.current.dns);
  settings.onChange(({ dns }) => resolver.configure(dns));
  return (name, type) => mailauthResolver(resolver, { timeoutMs: settings.current.dns.timeout })(name, type);
}
