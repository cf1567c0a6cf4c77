import { BUCKETS_MS, madeCalls, servedCalls } from '#cluster/call-counts.ts';
import { collected } from '#shared/metrics.ts';

/** The calls between services (cluster/call-counts.ts) as metrics. */

collected('counter', 'bus_calls_total', 'Calls to services, by how they ended (ok, or the code of the error)', () =>
  [...madeCalls.values()].flatMap(({ service, operation, counts }) =>
    [['ok', counts.ok] as const, ...counts.failed]
      .filter(([, value]) => value > 0)
      .map(([result, value]) => ({ labels: { service, operation, result }, value })),
  ),
);

collected('histogram', 'bus_served_seconds', 'Time from the arrival of a call at a service to its answer', () =>
  [...servedCalls.values()].flatMap(({ service, operation, counts: { buckets, totalMs } }) => {
    const labels = { service, operation };
    let sum = 0;
    const upTo = buckets.map((count, n) => {
      sum += count;
      const le = n < BUCKETS_MS.length ? (BUCKETS_MS[n] ?? 0) / 1000 : '+Inf';
      return { part: '_bucket', labels: { ...labels, le }, value: sum };
    });
    if (sum === 0) return [];
    return [...upTo, { part: '_sum', labels, value: totalMs / 1000 }, { part: '_count', labels, value: sum }];
  }),
);
