import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GreylistRecord, MOST_TRIPLES } from '#services/policy/contract.ts';
import { Greylist } from '#services/policy/greylist/greylist.ts';
import { heapInUse } from '#test/kit/heap.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TIMES = { delay: MINUTE, window: DAY, keep: 35 * DAY };

/** A greylist with a clock that the test moves, and a server that tries to send. */
function setup() {
  let now = 1_800_000_000_000;
  const list = new Greylist(() => now);
  const attempt = (client: string, from = 'a@x.test', to = 'b@example.com') => {
    const found = list.look(client, from, to, TIMES);
    const accepted = found.kind === 'passed' || found.kind === 'retried';
    const news = accepted ? list.accepted(found, TIMES) : list.deferred(found, TIMES);
    return `${found.kind}${news ? ', news' : ''}`;
  };
  return { list, attempt, pass: (ms: number) => (now += ms), now: () => now };
}

test('a first attempt waits, an early one changes nothing, one in time lets the network pass from then on', () => {
  const { attempt, pass } = setup();
  assert.equal(attempt('192.0.2.7'), 'first, news');
  pass(MINUTE - 1);
  assert.equal(attempt('192.0.2.7'), 'early');
  pass(1);
  assert.equal(attempt('192.0.2.200', 'A@X.test', 'B@example.com'), 'retried, news', 'a neighbour, in capitals');
  assert.equal(attempt('192.0.2.9', 'other@y.test', 'c@example.com'), 'passed');
  assert.equal(attempt('192.0.3.9', 'other@y.test', 'c@example.com'), 'first, news');
  assert.equal(attempt('2001:db8::1'), 'first, news');
  pass(MINUTE);
  assert.equal(attempt('2001:db8::ffff:0:0:2'), 'retried, news', 'the same /64');
});

test('another sender or recipient is another attempt; after the window everything begins again', () => {
  const { attempt, pass } = setup();
  attempt('192.0.2.7');
  pass(MINUTE);
  assert.equal(attempt('192.0.2.7', 'other@x.test'), 'first, news');
  assert.equal(attempt('192.0.2.7', 'a@x.test', 'other@example.com'), 'first, news');
  assert.equal(attempt('192.0.2.7', ''), 'first, news');
  pass(DAY);
  assert.equal(attempt('192.0.2.7'), 'first, news');
  pass(MINUTE);
  assert.equal(attempt('192.0.2.7'), 'retried, news');
});

test('a network passes as long as mail comes from it, and is told to others at most once an hour', () => {
  const { attempt, pass } = setup();
  attempt('192.0.2.7');
  pass(MINUTE);
  attempt('192.0.2.7');
  pass(HOUR - 1);
  assert.equal(attempt('192.0.2.7'), 'passed');
  pass(1);
  assert.equal(attempt('192.0.2.7'), 'passed, news');
  pass(34 * DAY);
  assert.equal(attempt('192.0.2.7'), 'passed, news');
  pass(35 * DAY);
  assert.equal(attempt('192.0.2.7'), 'first, news');
});

test('made-up triples of a network take little room, and shut out none of its real mail', () => {
  const { list, attempt, pass } = setup();
  attempt('192.0.2.7', 'real@x.test');
  for (let n = 0; n < 1000; n++) attempt('192.0.2.66', `made-up-${n}@x.test`);
  assert.equal(list.record('192.0.2.0/24').triples.length, MOST_TRIPLES);
  pass(30_000);
  assert.equal(attempt('192.0.2.8', 'later@x.test'), 'early', 'the network waits as a whole');
  pass(30_000);
  assert.equal(attempt('192.0.2.8', 'later@x.test'), 'retried, news');
});

test('a flood from made-up networks pushes out neither those that passed nor those that wait by IPv4', () => {
  const { list, attempt, pass } = setup();
  attempt('192.0.2.7');
  pass(MINUTE);
  attempt('192.0.2.7');
  attempt('198.51.100.7');
  const before = heapInUse();
  for (let n = 0; n < 30_000; n++) attempt(`2001:db8:${(n >> 8).toString(16)}:${(n & 255).toString(16)}::1`);
  assert.ok([...list.networks()].length <= 10_000 + 2);
  assert.ok(heapInUse() - before < 60_000_000);
  pass(MINUTE);
  assert.equal(attempt('198.51.100.7'), 'retried, news');
  assert.equal(attempt('192.0.2.9', 'new@x.test'), 'passed');
});

test('what one instance knows another one learns: the earlier first attempt, the later passing, in any order', () => {
  const [one, two] = [setup(), setup()];
  one.attempt('192.0.2.7');
  two.pass(30_000);
  two.attempt('192.0.2.7');
  const told = GreylistRecord.parse(JSON.parse(JSON.stringify(one.list.record('192.0.2.0/24'))));
  two.list.learn(told, TIMES);
  two.pass(30_000);
  assert.equal(two.attempt('192.0.2.7'), 'retried, news', 'as soon as if it had come here first');
  const passed = two.list.record('192.0.2.0/24');
  one.pass(MINUTE);
  one.list.learn(passed, TIMES);
  one.list.learn(told, TIMES);
  assert.equal(one.attempt('192.0.2.7', 'new@x.test'), 'passed', 'an old record takes nothing back');
  assert.deepEqual(one.list.record('192.0.2.0/24').triples, []);
});

test('a clock that is ahead elsewhere makes nobody wait longer than the delay', () => {
  const { list, attempt, pass, now } = setup();
  attempt('192.0.2.7');
  const { triple = '' } = list.record('192.0.2.0/24').triples[0] ?? {};
  const other = setup();
  other.list.learn({ network: '192.0.2.0/24', triples: [{ triple, since: now() + DAY }] }, TIMES);
  assert.equal(other.attempt('192.0.2.7'), 'early');
  other.pass(MINUTE);
  assert.equal(other.attempt('192.0.2.7'), 'retried, news');
  other.list.learn({ network: '198.51.100.0/24', passed: now() + 1000 * DAY, triples: [] }, TIMES);
  other.pass(35 * DAY);
  assert.equal(other.attempt('198.51.100.7'), 'first, news');
  pass(0);
});

test('records of others, however long, leave no more of a network than its own attempts would', () => {
  const { list, now } = setup();
  for (let part = 0; part < 10; part++) {
    const triples = Array.from({ length: MOST_TRIPLES }, (_, n) => ({ triple: `t${part}-${n}`, since: now() }));
    list.learn({ network: '192.0.2.0/24', triples }, TIMES);
  }
  assert.equal(list.record('192.0.2.0/24').triples.length, MOST_TRIPLES);
});

test('a network that passed long ago waits like any other, wherever it comes again', () => {
  const [one, two] = [setup(), setup()];
  for (const { attempt, pass } of [one, two]) {
    attempt('192.0.2.7');
    pass(MINUTE);
    attempt('192.0.2.7');
    pass(36 * DAY);
  }
  assert.equal(one.attempt('192.0.2.7'), 'first, news');
  two.list.learn(one.list.record('192.0.2.0/24'), TIMES);
  two.pass(MINUTE);
  assert.equal(two.attempt('192.0.2.7'), 'retried, news');
});
