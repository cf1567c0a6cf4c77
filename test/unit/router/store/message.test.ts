import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dueAt, isFinal } from '#services/router/store/message.ts';
import { LATER, OK } from '#test/unit/router/fixture.ts';

test('which recipients are due, and which have left', () => {
  const outcome = { at: 1, reply: LATER };
  assert.equal(dueAt({ state: 'waiting' }), 0);
  assert.equal(dueAt({ state: 'deferred', attempts: 1, nextAttempt: 77, outcome }), 77);
  assert.equal(isFinal({ state: 'waiting' }), false);
  assert.equal(isFinal({ state: 'deferred', attempts: 1, nextAttempt: 77, outcome }), false);
  for (const state of ['delivered', 'failed', 'expired'] as const) {
    assert.equal(dueAt({ state, outcome: { at: 1, reply: OK } }), Number.POSITIVE_INFINITY);
    assert.equal(isFinal({ state, outcome: { at: 1, reply: OK } }), true);
  }
});
