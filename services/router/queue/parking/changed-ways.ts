import { isDeepStrictEqual } from 'node:util';
import type { Config } from '#cluster/config/schema/schema.ts';
import { isSameOrSubdomain } from '#shared/address/address.ts';
import type { Directive } from '#shared/directive.ts';

/** Which mail has to be read because it may go elsewhere now, or has other deadlines. Pure. */

/** Whether a change of the configuration leaves alone where mail goes, and until when it waits. */
export function movesNothing(next: Config, previous: Config): boolean {
  return isDeepStrictEqual(waysOf(next), waysOf(previous));
}

/** What next hops, and the deadlines of parked mail, depend on. */
function waysOf({ routes, node, queue, authenticity, delivery }: Config) {
  const reports = [authenticity.dmarc.reports.receive, delivery['tls-reports'].receive];
  return [routes, node.hostname, queue.expire, queue['delay-notice'], reports];
}

/**
 * Whether mail for a next hop, by its key, may go elsewhere because these directives have come or gone. Mail by MX is for one
 * domain; by any other hop, it may be for any. Suspended mail waits where it is.
 */
export function mayMove(key: string, changed: readonly Directive[]): boolean {
  return changed.some(({ kind, name }) => {
    if (kind !== 'redirect') return false;
    const domain = /^mx:([^ ]*)/.exec(key)?.[1];
    return domain === undefined || isSameOrSubdomain(domain, name);
  });
}
