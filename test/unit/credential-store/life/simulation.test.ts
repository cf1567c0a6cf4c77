import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Outcome, Runs } from '#test/unit/credential-store/life/simulation/worker.ts';

/**
 * Environment: RUNS, how many; SEED, of the first one. `SEED=n RUNS=1` repeats a run, and tells its story if it fails.
 */
const RUNS = Number(process.env['RUNS'] ?? 150);
const SEED = Number(process.env['SEED'] ?? 1);

/** What must happen in some of the runs, so that they show something. */
const HAPPENS = [
  ...['created', 'replicated', 'published', 'proven', 'active', 'retiring', 'retired', 'revoked', 'deleted'],
  ...['claim', 'switched', 'done', 'rolled-back', 'signature', 'used again', 'revoked after its time', 'scheduled'],
];

test('whatever fails on the way, keys keep their promises and every rotation ends', async (t) => {
  const workerData: Runs = { seed: SEED, runs: RUNS };
  const worker = new Worker(new URL('simulation/worker.ts', import.meta.url), { workerData });
  const [{ totals, failure }] = (await once(worker, 'message')) as [Outcome];
  t.diagnostic(`from seed ${SEED}: ${[...totals].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  if (RUNS === 1 && failure !== undefined) t.diagnostic(failure.story);
  assert.deepEqual(failure?.violations, undefined, `SEED=${failure?.seed} RUNS=1 repeats it`);
  const missing = HAPPENS.filter((what) => !totals.has(what));
  if (RUNS >= 100) assert.deepEqual(missing, []);
});
