import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atTurnEnd, turnEnded } from '#cluster/bus/turn-end.ts';

test('work of a turn is done together, in its order, before what it puts off itself', async () => {
  const done: string[] = [];
  atTurnEnd(() => {
    done.push('first');
    atTurnEnd(() => done.push('put off by the first'));
    queueMicrotask(() => done.push('after the turn'));
  });
  await Promise.resolve();
  atTurnEnd(() => done.push('second'));
  assert.deepEqual(done, []);
  await turnEnded();
  assert.deepEqual(done, ['first', 'second', 'after the turn']);
  await turnEnded();
  assert.deepEqual(done.at(-1), 'put off by the first');
});
