import { ERRORS } from '#shared/error-codes.ts';
import { errorCode } from '#shared/errors.ts';
import { counter, histogram } from '#shared/metrics.ts';
import type { Bus, BusHandler } from './bus.ts';

/**
 * Counts the calls that pass a bus: at the caller how they end, where they are served how long that takes. Where a process
 * calls itself, it is both.
 */

const calls = counter('bus_calls_total', 'Calls to services, by how they ended (ok, or the code of the error)', [
  'service',
  'operation',
  'result',
]);
const served = histogram(
  'bus_served_seconds',
  'Time from the arrival of a call at a service to its answer',
  ['service', 'operation'],
  [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
);

/** The same bus, of which calls are counted from now on. */
export function measured<B extends Bus>(bus: B): B {
  const [serve, call] = [bus.serve.bind(bus), bus.call.bind(bus)];
  bus.serve = (address, handler) => serve(address, timed(address, handler));
  bus.call = async ({ service, operation, version }, request, node) => {
    let result = 'failed';
    try {
      const answer = await call({ service, operation, version }, request, node);
      result = answer.ok ? 'ok' : answer.code;
      return answer;
    } catch (error) {
      result = errorCode(error) ?? result;
      throw error;
    } finally {
      calls.inc({ service, operation, result: known(result) });
    }
  };
  return bus;
}

/** A code that this version knows: another process may answer with any text, and each is kept for good. */
function known(result: string): string {
  return result === 'ok' || result === 'failed' || Object.hasOwn(ERRORS, result) ? result : 'other';
}

function timed({ service, operation }: { service: string; operation: string }, handler: BusHandler): BusHandler {
  return async (request) => {
    const begun = performance.now();
    try {
      return await handler(request);
    } finally {
      served.observe({ service, operation }, (performance.now() - begun) / 1000);
    }
  };
}
