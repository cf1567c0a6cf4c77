import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { lengthOf } from '#test/kit/length.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { seededRandom } from '#test/kit/random.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * The process is killed (SIGKILL) at random moments under load and started again. Every message that was answered
 * with 250 must arrive; what arrives twice is at most what was on its way to the next hop at the moment of a kill.
 *
 * SEED and KILLS choose the run: the same seed gives the same moments and sizes.
 */
const SEED = Number(process.env['SEED'] ?? 1);
const KILLS = lengthOf('KILLS', { short: 30, full: 100 });
const CONNECTIONS = 20;

test(`${KILLS} kills under load, seed ${SEED}`, { timeout: 30 * 60_000 }, async (t) => {
  const random = seededRandom(SEED);
  await using sink = await Tally.start();
  await using node = await SealpostNode.create({
    sink: sink.port,
    config: `delivery: { connections: ${CONNECTIONS} }\nlog: { level: warn }\ndomains: [{ name: example.com, keys: { proof: none } }]`,
  });
  let program = node.launch();
  await node.createKey('example.com', 's1');

  const load = new Load(`kill-${SEED}`, { port: node.port, sessions: 20, sizes: [500, 4000, 20_000, 150_000], random });
  load.start();
  for (let kill = 1; kill <= KILLS; kill++) {
    const before = load.accepted.size;
    await waitFor(() => load.accepted.size > before, {
      timeout: 60_000,
      what: `mail to be accepted before kill ${kill}`,
    });
    await delay(random() * 700);
    await program.kill();
    program = node.launch();
  }
  await load.stop();
  const missing = (): string[] => [...load.accepted].filter((id) => !sink.arrivals.has(id));
  await waitFor(() => missing().length === 0, { timeout: 120_000, what: 'every accepted message' }).catch(
    () => undefined,
  );
  await node.drained();

  t.diagnostic(
    `accepted ${load.accepted.size}, arrived ${sink.arrivals.size}, without a reply ${load.unknown.size}, ` +
      `refused ${JSON.stringify(Object.fromEntries(load.refused))}, duplicates ${sink.duplicates}`,
  );
  assert.deepEqual(missing(), [], 'accepted mail that did not arrive');
  assert.ok(sink.duplicates <= KILLS * CONNECTIONS, `${sink.duplicates} duplicates`);
  assert.ok(load.accepted.size > KILLS * 10, 'the load was a load');
  for (const [id] of sink.arrivals)
    assert.ok(load.accepted.has(id) || load.unknown.has(id), `${id} was refused and arrived`);
  assert.deepEqual([...sink.signatures.keys()], [1], 'every message carries one signature');
});
