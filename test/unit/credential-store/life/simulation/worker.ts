import { parentPort, workerData } from 'node:worker_threads';
import { simulate } from './simulate.ts';

/**
 * Many runs, in a thread of their own: the test runner watches every promise of its thread, which makes each run more
 * than twice as long.
 */

export type Runs = { seed: number; runs: number };
export type Outcome = {
  /** How often what happened, in all runs. */
  totals: Map<string, number>;
  /** The first run that violated something. */
  failure?: { seed: number; violations: string[]; story: string };
};

const { seed: first, runs } = workerData as Runs;
const outcome: Outcome = { totals: new Map() };
for (let seed = first; seed < first + runs && outcome.failure === undefined; seed++) {
  const { violations, counts, story } = await simulate(seed);
  for (const [what, count] of counts) outcome.totals.set(what, (outcome.totals.get(what) ?? 0) + count);
  if (violations.length > 0) outcome.failure = { seed, violations, story: story() };
}
parentPort?.postMessage(outcome);
