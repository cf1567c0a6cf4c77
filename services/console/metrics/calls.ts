import { madeCalls, servedCalls } from '#cluster/call-counts.ts';
import { collected, histogramOf } from '#shared/metrics.ts';

/** The calls between services (cluster/call-counts.ts) as metrics. */

collected('counter', 'bus_calls_total', 'Calls to services, by how they ended (ok, or the code of the error)', () =>
  [...madeCalls.values()].flatMap(({ service, operation, counts }) =>
    [['ok', counts.ok] as const, ...counts.failed]
      .filter(([, value]) => value > 0)
      .map(([result, value]) => ({ labels: { service, operation, result }, value })),
  ),
);

collected('histogram', 'bus_served_seconds', 'Time from the arrival of a call at a service to its answer', () =>
  [...servedCalls.values()].flatMap(({ service, operation, counts }) =>
    histogramOf({ service, operation }, counts, 1000),
  ),
);
