import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Placement } from '#services/listener/message/placement.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { SealpostError } from '#shared/errors.ts';

/** Which router a listener of node `own` chooses, and which it asks when that one does not take the message. */

const ENVELOPE = { envelope: { reversePath: '', recipients: [], smtpUtf8: false }, origin: {} } as never;

function stage(t: TestContext, { starting } = { starting: false }) {
  let now = 1_000_000;
  t.mock.method(performance, 'now', () => now);
  /** Routers it was offered to, with the patience for each; `any` is a call without a name. */
  const asked: string[] = [];
  const patience: (number | undefined)[] = [];
  const failing = new Map<string, ErrorCode>();
  const placement = new Placement('own', async (_, { node = 'any', timeout } = {}) => {
    asked.push(node);
    patience.push(timeout);
    const code = failing.get(node);
    if (code !== undefined) throw new SealpostError(code, `${node} fails`);
    return { transfer: 'T', queueId: 'Q', node: node === 'any' ? 'some' : node };
  });
  // Long after the start.
  if (!starting) now += 5000;
  return {
    asked,
    patience,
    failing,
    pass: (ms: number) => (now += ms),
    hear: (node: string, queued = 0, refusing?: string) =>
      placement.hear({ node, queued, ...(refusing !== undefined && { refusing }) }),
    open: () => placement.open(ENVELOPE, { trace: 'X' }),
  };
}

test('no router was heard: any that answers gets it', async (t) => {
  const { open, asked, patience } = stage(t);
  assert.equal((await open()).node, 'some');
  assert.deepEqual([asked, patience], [['any'], [undefined]]);
});

test('the router of this node comes first, however loaded', async (t) => {
  const { open, hear, asked } = stage(t);
  hear('own', 5000);
  hear('idle', 0);
  for (let i = 0; i < 20; i++) await open();
  assert.deepEqual(new Set(asked), new Set(['own']));
});

test('mail of the first seconds stays on this node, whose router was not heard yet', async (t) => {
  const { open, hear, pass, asked, failing } = stage(t, { starting: true });
  hear('other');
  assert.equal((await open()).node, 'own');
  failing.set('own', 'unavailable');
  assert.equal((await open()).node, 'other');
  assert.deepEqual(asked, ['own', 'own', 'other']);
  pass(2500);
  await open();
  assert.equal(asked.at(-1), 'other');
  assert.equal(asked.length, 4);
});

test('a router that refuses, or was not heard for 3 s, is skipped until it says otherwise', async (t) => {
  const { open, hear, pass, asked } = stage(t);
  hear('own', 0, 'disk full');
  hear('silent', 0);
  pass(2000);
  hear('own', 0, 'disk full');
  hear('loaded', 9000);
  pass(1500);
  for (let i = 0; i < 20; i++) await open();
  assert.deepEqual(new Set(asked), new Set(['loaded']));
  hear('own', 0);
  assert.equal((await open()).node, 'own');
});

test('of many others the loaded ones get less', async (t) => {
  const { open, hear, asked } = stage(t);
  for (const [node, queued] of [
    ['busiest', 1_000_000],
    ['a', 0],
    ['b', 0],
    ['c', 0],
  ] as const)
    hear(node, queued);
  for (let i = 0; i < 900; i++) await open();
  const got = (node: string) => asked.filter((name) => name === node).length;
  // Of two at random the busiest is never the less loaded one; the others count what was placed since.
  assert.equal(got('busiest'), 0);
  for (const node of ['a', 'b', 'c']) assert.ok(got(node) > 200 && got(node) < 400, `${node} got ${got(node)}`);
});

for (const code of ['full', 'not-accepting', 'unavailable', 'busy', 'timeout'] as const) {
  test(`a router that answers ${code} is asked once, then the next, with little patience`, async (t) => {
    const { open, hear, asked, patience, failing } = stage(t);
    hear('own');
    hear('other', 100);
    failing.set('own', code);
    assert.equal((await open()).node, 'other');
    assert.equal((await open()).node, 'other');
    assert.deepEqual(asked, ['own', 'other', 'other']);
    assert.ok(patience.every((ms) => ms !== undefined && ms <= 2000));
    hear('own');
    failing.clear();
    assert.equal((await open()).node, 'own');
  });
}

test('at most three are asked by name, then any that answers; the first error is the reason', async (t) => {
  const { open, hear, asked, failing } = stage(t);
  for (const node of ['own', 'a', 'b', 'c']) hear(node);
  for (const node of ['own', 'a', 'b', 'c']) failing.set(node, 'full');
  assert.equal((await open()).node, 'some');
  assert.deepEqual([asked.length, asked[0], asked[3]], [4, 'own', 'any']);
  failing.set('any', 'unavailable');
  await assert.rejects(open(), { code: 'full' });
});

test('an error of the message itself is not a reason to ask another router', async (t) => {
  const { open, hear, asked, failing } = stage(t);
  hear('own');
  hear('other');
  failing.set('own', 'malformed');
  await assert.rejects(open(), { code: 'malformed' });
  assert.deepEqual(asked, ['own']);
});

test('routers that come and go do not pile up', async (t) => {
  const { open, hear, pass, asked } = stage(t);
  for (let i = 0; i < 300; i++) hear(`old-${i}`, 0, 'full');
  hear('late');
  await open();
  assert.deepEqual(asked, ['any']);
  pass(4000);
  hear('late');
  await open();
  assert.deepEqual(asked, ['any', 'late']);
});

test('a table full of live routers takes no newcomer, and goes on hearing those that it has', async (t) => {
  const { open, hear, asked } = stage(t);
  for (let i = 0; i < 256; i++) hear(`router-${i}`, 0, 'full');
  hear('newcomer');
  hear('router-7');
  await open();
  assert.deepEqual(asked, ['router-7']);
});
