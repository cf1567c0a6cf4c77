import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { errorText } from '#shared/errors.ts';
import { simulate } from './simulate.ts';

/** Many runs, in a thread of their own: its clocks and timers are those of the simulation. */

export type Runs = { seed: number; runs: number };
export type Outcome = {
  /** How often what happened, in all runs. */
  totals: Map<string, number>;
  /** The first run that violated something. */
  failure?: { seed: number; violations: string[]; story: string[] };
};

const { seed: first, runs } = workerData as Runs;
const outcome: Outcome = { totals: new Map() };
const folder = mkdtempSync(join(tmpdir(), 'simulation-'));
try {
  for (let seed = first; seed < first + runs && outcome.failure === undefined; seed++) {
    const { violations, counts, story } = await simulate(seed, folder).catch((error: unknown) => {
      return { violations: [errorText(error)], counts: new Map<string, number>(), story: [] };
    });
    for (const [what, count] of counts) outcome.totals.set(what, (outcome.totals.get(what) ?? 0) + count);
    if (violations.length > 0) outcome.failure = { seed, violations, story };
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
parentPort?.postMessage(outcome);
