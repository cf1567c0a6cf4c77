import { ERRORS } from '#shared/error-codes.ts';

/**
 * Counts of the calls between services, kept by `actor.ts`: at the caller how they end, where they are served how long that
 * takes. A mail is a dozen calls, so these are plain numbers; services/console/metrics/calls.ts shows them.
 */

/** Upper ends of the buckets of durations, in ms; one more has all that are longer. */
export const BUCKETS_MS = [1, 5, 20, 100, 500, 2000, 10_000] as const;

/** Of one operation, where it is served. */
export class ServedCalls {
  /** Calls by their duration: each in the first bucket that it fits. */
  readonly buckets: number[] = new Array(BUCKETS_MS.length + 1).fill(0);
  totalMs = 0;

  took(ms: number): void {
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && ms > (BUCKETS_MS[bucket] ?? 0)) bucket++;
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
    this.totalMs += ms;
  }
}

/** Of one operation, at its callers. */
export class MadeCalls {
  ok = 0;
  /** By the code of the error. */
  readonly failed = new Map<string, number>();

  /** Any other text than a code that this version knows is `other`: each is kept for good. */
  fail(code: string | undefined): void {
    const name = code !== undefined && Object.hasOwn(ERRORS, code) ? code : 'other';
    this.failed.set(name, (this.failed.get(name) ?? 0) + 1);
  }
}

type Table<T> = Map<string, { service: string; operation: string; counts: T }>;

export const servedCalls: Table<ServedCalls> = new Map();
export const madeCalls: Table<MadeCalls> = new Map();

export const servedOf = (service: string, operation: string): ServedCalls =>
  countsOf(servedCalls, service, operation, () => new ServedCalls());
export const madeOf = (service: string, operation: string): MadeCalls =>
  countsOf(madeCalls, service, operation, () => new MadeCalls());

function countsOf<T>(table: Table<T>, service: string, operation: string, make: () => T): T {
  const name = `${service}.${operation}`;
  const known = table.get(name) ?? { service, operation, counts: make() };
  table.set(name, known);
  return known.counts;
}
