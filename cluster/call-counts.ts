import { ERRORS } from '#shared/error-codes.ts';
import { Durations } from './durations.ts';

/**
 * Counts of the calls between services, kept by `actor.ts`: at the caller how they end, where they are served how long that
 * takes. A mail is a dozen calls, so these are plain numbers; services/console/metrics/calls.ts shows them.
 */

const ENDS_MS = [1, 5, 20, 100, 500, 2000, 10_000];

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

/** In ms. */
export const servedCalls: Table<Durations> = new Map();
export const madeCalls: Table<MadeCalls> = new Map();

export const servedOf = (service: string, operation: string): Durations =>
  countsOf(servedCalls, service, operation, () => new Durations(ENDS_MS));
export const madeOf = (service: string, operation: string): MadeCalls =>
  countsOf(madeCalls, service, operation, () => new MadeCalls());

function countsOf<T>(table: Table<T>, service: string, operation: string, make: () => T): T {
  const name = `${service}.${operation}`;
  const known = table.get(name) ?? { service, operation, counts: make() };
  table.set(name, known);
  return known.counts;
}
