import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConcurrencyLimit } from '#services/policy/authentication/concurrency-limit.ts';

test('two run, two wait in order, the fifth is refused, and places become free again', async () => {
  const limit = new ConcurrencyLimit(2, 2);
  const started: number[] = [];
  const finish: (() => void)[] = [];
  const work = (n: number) =>
    limit.run(() => {
      started.push(n);
      return new Promise<number>((resolve) => finish.push(() => resolve(n)));
    });
  const [one, two, three, four] = [work(1), work(2), work(3), work(4)];
  await assert.rejects(work(5), { code: 'busy' });
  assert.deepEqual(started, [1, 2]);
  finish.shift()?.();
  assert.equal(await one, 1);
  assert.deepEqual(started, [1, 2, 3]);
  for (const done of finish.splice(0)) done();
  assert.deepEqual(await Promise.all([two, three]), [2, 3]);
  for (const done of finish.splice(0)) done();
  assert.equal(await four, 4);
  const six = work(6);
  assert.deepEqual(started, [1, 2, 3, 4, 6]);
  for (const done of finish.splice(0)) done();
  assert.equal(await six, 6);
});

test('work that fails gives its place back', async () => {
  const limit = new ConcurrencyLimit(1, 1);
  const failing = limit.run(() => Promise.reject(new Error('no')));
  const next = limit.run(() => Promise.resolve('yes'));
  await assert.rejects(failing, /no/);
  assert.equal(await next, 'yes');
});
