import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Outcome, Runs } from '#test/unit/router/queue/simulation/worker.ts';

/**
 * Environment: RUNS, how many; SEED, of the first one. `SEED=n RUNS=1` repeats a run, and tells its story if it fails.
 */
const RUNS = Number(process.env['RUNS'] ?? 10);
const SEED = Number(process.env['SEED'] ?? 1);

/** What must happen in some of the runs, so that they show something. */
const HAPPENS = [
  ...['accepted', 'not accepted', 'arrived', 'reply lost', 'arrived again', 'crash', 'stop', 'store failed'],
  ...['retry', 'hold', 'release', 'remove', 'bounce', 'reroute', 'suspend', 'redirect', 'clock stepped', 'notice'],
  ...['ended delivered', 'ended failed', 'ended expired', 'dead', 'later', 'slow'],
];

test('whatever hosts, operators, disks and crashes do, mail is neither lost nor delivered twice, and ends', async (t) => {
  const workerData: Runs = { seed: SEED, runs: RUNS };
  const worker = new Worker(new URL('simulation/worker.ts', import.meta.url), { workerData });
  const [{ totals, failure }] = (await once(worker, 'message')) as [Outcome];
  t.diagnostic(`from seed ${SEED}: ${[...totals].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  if (RUNS === 1 && failure !== undefined) for (const line of failure.story) t.diagnostic(line);
  assert.deepEqual(failure?.violations, undefined, `SEED=${failure?.seed} RUNS=1 repeats it`);
  if (RUNS >= 10)
    assert.deepEqual(
      HAPPENS.filter((what) => !totals.has(what)),
      [],
    );
});
