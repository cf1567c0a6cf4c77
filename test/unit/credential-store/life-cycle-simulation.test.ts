import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate } from '#test/unit/credential-store/simulation/simulate.ts';

/** Environment: RUNS, how many; SEED, of the first one. `SEED=n RUNS=1` repeats a run, and tells its story if it fails. */
const RUNS = Number(process.env['RUNS'] ?? 250);
const SEED = Number(process.env['SEED'] ?? 1);

/** What must happen in some of the runs, so that they show something. */
const HAPPENS = [
  ...['created', 'replicated', 'published', 'proven', 'active', 'retiring', 'retired', 'revoked', 'deleted'],
  ...['claim', 'switched', 'done', 'rolled-back', 'signature', 'used again', 'revoked after its time', 'scheduled'],
];

test('whatever fails on the way, keys keep their promises and every rotation ends', async (t) => {
  const totals = new Map<string, number>();
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    const { violations, counts, story } = await simulate(seed);
    for (const [what, count] of counts) totals.set(what, (totals.get(what) ?? 0) + count);
    if (violations.length > 0 && RUNS === 1) t.diagnostic(story());
    assert.deepEqual(violations, [], `SEED=${seed} RUNS=1 repeats it`);
  }
  t.diagnostic(`from seed ${SEED}: ${[...totals].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  if (RUNS >= 100)
    assert.deepEqual(
      HAPPENS.filter((what) => !totals.has(what)),
      [],
    );
});
