import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerCache } from '#shared/dns/answer-cache.ts';

const HOUR = 3_600_000;
const MIB = 1024 * 1024;
const lasting = () => ({ expires: performance.now() + HOUR });

/** Which of these keys are kept. */
function kept(cache: AnswerCache<{ expires: number }>, keys: string[]): string[] {
  return keys.filter((key) => cache.get(key) !== undefined);
}

test('answers are bounded in number, and those that were learned longest ago go first', () => {
  const cache = new AnswerCache();
  const keys = Array.from({ length: 10_003 }, (_, n) => `n${n}`);
  for (const key of keys.slice(0, 10_000)) cache.set(key, lasting(), 100);
  cache.set('n0', lasting(), 100);
  for (const key of keys.slice(10_000)) cache.set(key, lasting(), 100);
  assert.equal(kept(cache, keys).length, 10_000);
  assert.deepEqual(kept(cache, ['n0', 'n1', 'n2', 'n3', 'n4']), ['n0', 'n4'], 'learned again counts as new');
});

test('answers are bounded in bytes, whatever their number', () => {
  const cache = new AnswerCache();
  const keys = Array.from({ length: 20 }, (_, n) => `n${n}`);
  for (const key of keys) cache.set(key, lasting(), MIB);
  assert.deepEqual(kept(cache, keys), keys.slice(4));
  cache.set('n19', lasting(), 8 * MIB);
  assert.deepEqual(kept(cache, keys), keys.slice(11), 'an answer that is replaced counts once');
});

test('an answer that has expired is not there', () => {
  const cache = new AnswerCache();
  cache.set('old', { expires: performance.now() - 1 }, 1);
  assert.equal(cache.get('old'), undefined);
});
