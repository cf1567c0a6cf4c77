import { Counter, Gauge, type Metric, Registry } from 'prom-client';

/**
 * What a process counts of its work, for Prometheus. Each service has its counters in its `metrics.ts`; what can be asked at
 * any time (the length of a queue, the state of a key) is not counted, but read when somebody asks (services/console/metrics).
 *
 * The numbers begin with the process and end with it. Labels have few values, all of them known here or in the
 * configuration: never an address, a host or a domain that a stranger can choose, since each new value takes memory for good.
 */

/** One counter with one set of values of its labels. */
export type Series = { name: string; labels: Record<string, string>; value: number };

/** Everything that this process counts. */
export const metrics = new Registry();

/** `name` without the prefix that all have; a counter's ends with `_total`. */
export function counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
  return new Counter({ name: `sealpost_${name}`, help, labelNames, registers: [metrics] });
}

export function gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
  const made = new Gauge({ name: `sealpost_${name}`, help, labelNames, registers: [metrics] });
  // One without labels would be 0 before it is read.
  if (labelNames.length === 0) made.remove();
  return made;
}

/** A value of a metric; `part`: what follows the name of the metric. */
type Sample = { labels: Record<string, string | number>; value: number; part?: string };

/** A metric whose values are counted elsewhere, by what costs less. */
export function collected(type: 'counter' | 'histogram', name: string, help: string, values: () => Sample[]): void {
  const full = `sealpost_${name}`;
  const get = () => ({
    ...{ name: full, help, type, aggregator: 'sum' },
    values: values().map(({ part, ...one }) => (part === undefined ? one : { ...one, metricName: full + part })),
  });
  // All that a registry asks of a metric; its type has more.
  metrics.registerMetric({ name: full, help, get, reset: () => undefined } as unknown as Metric);
}

/** What a histogram has counted (cluster/durations.ts). */
type Counted = { ends: readonly number[]; buckets: readonly number[]; total: number };

/** The values of a histogram of seconds; `unit`: how many of what it counted are a second. */
export function histogramOf(labels: Record<string, string>, { ends, buckets, total }: Counted, unit = 1): Sample[] {
  let sum = 0;
  const upTo = buckets.map((count, n) => {
    sum += count;
    return { part: '_bucket', labels: { ...labels, le: n < ends.length ? (ends[n] ?? 0) / unit : '+Inf' }, value: sum };
  });
  if (sum === 0) return [];
  return [...upTo, { part: '_sum', labels, value: total / unit }, { part: '_count', labels, value: sum }];
}

/** What the counters with these names, prefix and all, say now; a name that there is not is left out. */
export async function seriesOf(names: readonly string[]): Promise<Series[]> {
  const found = await Promise.all(names.map((name) => metrics.getSingleMetric(name)?.get()));
  return found.flatMap((metric) =>
    // A word, whatever its type says.
    metric?.type.toString() !== 'counter'
      ? []
      : metric.values.map(({ labels, value }) => ({
          name: metric.name,
          labels: Object.fromEntries(Object.entries(labels).map(([label, text]) => [label, String(text)])),
          value,
        })),
  );
}
