import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { clockOffset, Heard, type HeardOptions } from '#cluster/members/heard.ts';

/** A table by a clock that the test moves. */
function tableAt(options: Partial<HeardOptions> = {}) {
  let now = 1000;
  const heard = new Heard<string>({ liveMs: 3000, ...options, clock: () => now });
  return {
    heard,
    pass: (ms: number) => {
      now += ms;
    },
    keys: () => heard.all().map(({ key }) => key),
  };
}

test('one is live for a while after it was heard, then known; its last announcement counts', () => {
  const { heard, pass } = tableAt();
  heard.hear('a', 'first');
  pass(500);
  heard.hear('a', 'second');
  for (const [ms, silence, live] of [
    [0, 0, true],
    [3000, 3000, true],
    [1, 3001, false],
    [1e9, 1_000_003_001, false],
  ] as const) {
    pass(ms);
    assert.deepEqual(heard.get('a'), { key: 'a', said: 'second', silence, live });
    assert.deepEqual(heard.all(), [heard.get('a')]);
    assert.equal(heard.live().length, live ? 1 : 0);
  }
  assert.equal(heard.get('b'), undefined);
});

test('it is news that one lives when it was unknown or silent for too long', () => {
  const { heard, pass } = tableAt({ keepMs: 10_000 });
  const steps: [after: number, news: boolean][] = [
    [0, true],
    [1000, false],
    [3000, false],
    [3001, true],
    [20_000, true],
  ];
  for (const [after, news] of steps) {
    pass(after);
    assert.equal(heard.hear('a', ''), news, `after ${after} ms`);
  }
  heard.forget('a');
  assert.equal(heard.get('a'), undefined);
  assert.equal(heard.hear('a', ''), true);
});

test('one that was silent for longer than it is kept is forgotten', () => {
  const { heard, pass, keys } = tableAt({ keepMs: 10_000 });
  heard.hear('a', '');
  pass(4000);
  heard.hear('b', '');
  pass(6000);
  assert.deepEqual(keys(), ['a', 'b']);
  pass(1);
  assert.deepEqual([heard.get('a'), keys()], [undefined, ['b']]);
});

test('silence that is excused makes nobody forgotten, but nobody live either', () => {
  const { heard, pass } = tableAt({ keepMs: 10_000 });
  heard.hear('a', '');
  pass(60_000);
  heard.excuse(55_000);
  assert.equal(heard.get('a')?.live, false);
  pass(5000);
  assert.equal(heard.all().length, 1);
  pass(1);
  assert.equal(heard.all().length, 0);
});

test('when the table is full the one silent for longest makes room, whichever came first', () => {
  const { heard, pass, keys } = tableAt({ most: 3 });
  for (const key of ['a', 'b', 'c', 'a', 'c']) {
    pass(10);
    heard.hear(key, '');
  }
  heard.hear('d', '');
  assert.deepEqual(keys(), ['a', 'c', 'd']);
  heard.hear('c', '');
  assert.deepEqual(keys(), ['a', 'c', 'd']);
});

test('whatever is announced, no more than 500 are known', () => {
  const { heard } = tableAt();
  for (let i = 0; i < 2000; i++) heard.hear(`node-${i}`, '');
  assert.equal(heard.all().length, 500);
});

test('the fastest message says most about another clock; a clock that was set shows immediately', (t: TestContext) => {
  t.mock.method(Date, 'now', () => 1_000_000);
  let offset: number | undefined;
  for (const [ahead, expected] of [
    [-500, -500],
    [-20, -20],
    [-300, -20],
    [-1020, -20],
    [-1021, -1021],
    [60_000, 60_000],
  ] as const) {
    offset = clockOffset(1_000_000 + ahead, offset);
    assert.equal(offset, expected);
  }
});
