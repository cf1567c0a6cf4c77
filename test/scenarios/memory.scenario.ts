import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { lengthOf } from '#test/kit/length.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

const SESSIONS = 100;
const MEGABYTES = lengthOf('MEGABYTES', { short: 10, full: 25 });

/** Resident memory of a process in MB, as the kernel counts it, file pages that LevelDB maps included. */
function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kb) / 1024;
}

/** 100 sessions at once send MEGABYTES each: the bodies stream through, so memory must not grow with them. */
test(`100 sessions of ${MEGABYTES} MB each grow the process by less than 200 MB`, {
  timeout: 20 * 60_000,
}, async (t) => {
  await using sink = await Tally.start();
  await using node = await SealpostNode.create({ sink: sink.port });
  const program = await node.start();
  const warm = new Load('warm', { port: node.port, sessions: 20, sizes: [20_000] });
  warm.start();
  await waitFor(() => sink.messages > 500, { timeout: 60_000, what: 'a warm process' });
  await warm.stop();

  const before = residentMb(program.pid);
  let peak = before;
  const watch = setInterval(() => {
    peak = Math.max(peak, residentMb(program.pid));
  }, 100).unref();
  const load = new Load('large', { port: node.port, sessions: SESSIONS, sizes: [MEGABYTES * 1024 * 1024] });
  load.start();
  await waitFor(() => load.unknown.size + load.accepted.size >= SESSIONS, {
    timeout: 120_000,
    what: '100 messages under way',
  });
  await load.stop();
  await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), {
    timeout: 600_000,
    what: 'every message',
  });
  clearInterval(watch);
  t.diagnostic(
    `resident before ${before.toFixed(0)} MB, peak ${peak.toFixed(0)} MB, ${load.accepted.size} messages of ${MEGABYTES} MB`,
  );
  assert.ok(load.accepted.size >= SESSIONS, `${load.accepted.size} accepted, ${JSON.stringify([...load.refused])}`);
  assert.ok(peak - before < 200, `grew by ${(peak - before).toFixed(0)} MB`);
});
