import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * The queue lies on a file system of 20 MB and the next hop is away, so mail piles up until nothing fits. Clients must
 * hear 452 or 451 and nothing else; when the next hop returns, what was accepted goes out and work goes on.
 */
const skip = process.getuid?.() === 0 ? false : 'needs root, to mount a file system of 20 MB';

for (const reserve of ['6MB', '0B']) {
  test(`a disk of 20 MB fills, with ${reserve} in reserve`, { skip, timeout: 10 * 60_000 }, async (t) => {
    await using temp = await tempDir('disk');
    const data = join(temp.path, 'data');
    mkdirSync(data);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', data]);
    try {
      await fill(t, data, reserve);
    } finally {
      execFileSync('umount', ['--lazy', data]);
    }
  });
}

async function fill(t: { diagnostic(text: string): void }, data: string, reserve: string): Promise<void> {
  const port = await freePort();
  await using node = await SealpostNode.create({
    sink: port,
    data,
    config: `queue: { reserve: ${reserve}, retry: { first: 1s, max: 5s } }`,
  });
  const program = await node.start();
  const load = new Load(`disk-${reserve}`, { port: node.port, sessions: 10, sizes: [3000, 30_000, 200_000] });
  load.start();
  const refusals = (): number => [...load.refused.values()].reduce((a, b) => a + b, 0);
  await waitFor(() => refusals() > 200, { timeout: 120_000, what: 'refusals for want of space' });
  assert.ok(load.accepted.size > 20, 'mail was accepted before the disk was full');
  for (const key of load.refused.keys()) assert.match(key, /^45[12] /, 'only temporary refusals');

  // Space comes back: the next hop takes the queue, and one file less lies on the disk.
  const acceptedWhenFull = load.accepted.size;
  await using sink = await Tally.start(port);
  execFileSync('mount', ['-o', 'remount,size=40m', data]);
  await waitFor(() => load.accepted.size > acceptedWhenFull + 50, {
    timeout: 120_000,
    what: 'mail to be accepted again',
  });
  await load.stop();
  const missing = (): string[] => [...load.accepted].filter((id) => !sink.arrivals.has(id));
  await waitFor(() => missing().length === 0, { timeout: 120_000, what: 'every accepted message' }).catch(
    () => undefined,
  );
  t.diagnostic(
    `accepted ${acceptedWhenFull} until full, ${load.accepted.size} in all, refused ${JSON.stringify(Object.fromEntries(load.refused))}, duplicates ${sink.duplicates}`,
  );
  assert.deepEqual(missing(), []);
  assert.equal(program.exit, undefined, 'the process lived through it');
}
