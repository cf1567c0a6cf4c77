import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus, BusReply } from '#cluster/bus/bus.ts';
import { auditor } from '#services/audit.ts';
import { SealpostError } from '#shared/errors.ts';
import { logLines } from '#test/kit/log-lines.ts';

/** How changes come into the audit log. */

const CHANGE = { by: 'root on edge-1', service: 'router', operation: 'queue-change', about: 'hold: all mail' };

test('a change waits for a credential-store that does not answer once, and not for each part of much mail', async () => {
  const { log, lines } = logLines();
  let answer = (): Promise<BusReply> => Promise.reject(new SealpostError('timeout', 'no answer came in time'));
  let asked = 0;
  const call = (): Promise<BusReply> => {
    asked++;
    return answer();
  };
  const audit = auditor({ call } as unknown as Bus, 'edge-1', log);
  await audit({ ...CHANGE, outcome: 'done' });
  const pending = Promise.withResolvers<BusReply>();
  answer = () => pending.promise;
  await audit({ ...CHANGE, outcome: 'done' });
  assert.equal(asked, 2);
  pending.resolve({ ok: true, fields: {} });
  await pending.promise;
  // It answers again: so the next one waits for it.
  answer = () => Promise.resolve({ ok: true, fields: {} });
  await audit({ ...CHANGE, outcome: 'done' });
  const missed = lines().filter(({ msg }) => msg === 'a change is not in the audit log, only here');
  assert.equal(missed.length, 1);
  assert.equal(lines().filter(({ msg }) => msg === 'a change by an operator').length, 3);
});
