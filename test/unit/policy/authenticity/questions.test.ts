import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lookup } from 'mailauth/lib/tools.js';
import { FairLookups } from '#services/policy/authenticity/fair-lookups.ts';
import { Deadline, questions } from '#services/policy/authenticity/questions.ts';

/** A resolver whose answers come when the test says so. */
function held() {
  const asked: { name: string; answer: (records: string[]) => void; fail: (error: Error) => void }[] = [];
  const lookup: Lookup = (name) =>
    new Promise((resolve, reject) => asked.push({ name, answer: resolve, fail: reject }));
  return { lookup, asked };
}

const soon = () => new Promise((resolve) => setImmediate(resolve));

test('a question is asked once, and beyond the most none is', async () => {
  const { lookup, asked } = held();
  using deadline = new Deadline(60_000);
  const ask = questions(lookup, 2, deadline);
  const answers = [ask('a.test', 'A'), ask('a.test', 'A'), ask('a.test', 'TXT')];
  await assert.rejects(ask('b.test', 'A'), { code: 'ETIMEOUT', message: 'more than 2 questions to DNS' });
  for (const { answer, name } of asked) answer([name]);
  assert.deepEqual(await Promise.all(answers), [['a.test'], ['a.test'], ['a.test']]);
  assert.equal(asked.length, 2);
});

test('after the deadline nobody waits', async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  using deadline = new Deadline(5000);
  const answer = questions(held().lookup, 2, deadline)('a.test', 'A');
  mock.timers.tick(5000);
  await assert.rejects(answer, { code: 'ETIMEOUT', message: 'no answer within 5000 ms' });
});

test('the slow questions of a network wait for one another, and nobody else waits for them', async () => {
  const { lookup, asked } = held();
  const fair = new FairLookups();
  const slow = fair.of('192.0.2.0/24', lookup);
  const answers = Array.from({ length: 60 }, (_, i) => slow(`${i}.test`, 'A').catch((error: Error) => error.message));
  await soon();
  assert.equal(asked.length, 40);
  const other = fair.of('198.51.100.0/24', lookup)('other.test', 'A');
  await soon();
  assert.equal(asked.at(-1)?.name, 'other.test');
  asked.at(-1)?.answer(['found']);
  assert.deepEqual(await other, ['found']);
  // One that fails makes room as well.
  for (let at = 0; at < asked.length; at++) {
    const { name, answer, fail } = asked[at] ?? assert.fail();
    if (at % 2 === 0) answer([name]);
    else fail(new Error(name));
    await soon();
  }
  const said = (await Promise.all(answers)).flat();
  assert.deepEqual(
    said,
    Array.from({ length: 60 }, (_, i) => `${i}.test`),
  );
});

test('more than can wait are refused', async () => {
  const slow = new FairLookups().of('192.0.2.0/24', held().lookup);
  const refused = Array.from({ length: 2041 }, (_, i) => slow(`${i}.test`, 'A')).at(-1);
  await assert.rejects(refused ?? assert.fail(), {
    code: 'ETIMEOUT',
    message: /too many questions of 192\.0\.2\.0\/24/,
  });
});

test('what has waited for longer than its message does is not asked', async ({ mock }) => {
  const { lookup, asked } = held();
  const slow = new FairLookups().of('192.0.2.0/24', lookup);
  let now = 0;
  mock.method(performance, 'now', () => now);
  const first = Array.from({ length: 40 }, (_, i) => slow(`${i}.test`, 'A'));
  const old = [slow('old.test', 'A'), slow('older.test', 'A')];
  now = 4999;
  const fresh = slow('fresh.test', 'A');
  await soon();
  now = 5001;
  asked[0]?.answer(['0.test']);
  for (const one of old) await assert.rejects(one, { code: 'ETIMEOUT' });
  await soon();
  assert.deepEqual([asked.length, asked.at(-1)?.name], [41, 'fresh.test']);
  for (const { answer, name } of asked) answer([name]);
  await Promise.all([...first, fresh]);
});
