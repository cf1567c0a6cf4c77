import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { AnnounceLoop } from '#cluster/members/announce.ts';

/** A loop whose announcements are noted with the ms since the test began. */
function stage(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'], now: 0 });
  const said: number[] = [];
  const loop = new AnnounceLoop(() => said.push(Date.now()));
  /** In small steps: within one tick the mocked date stands still. */
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= 10) t.mock.timers.tick(10);
  };
  return { loop, said, pass };
}

test('it announces immediately when it starts, then every second, and nothing after the goodbye', (t) => {
  const { loop, said, pass } = stage(t);
  loop.start();
  pass(2500);
  let goodbyes = 0;
  loop.stop(() => goodbyes++);
  pass(5000);
  assert.deepEqual([said, goodbyes], [[0, 1000, 2000], 1]);
});

test('a change is announced immediately, also before the start, and does not move the turn of each second', (t) => {
  const { loop, said, pass } = stage(t);
  loop.now();
  pass(10);
  loop.start();
  pass(600);
  loop.now();
  loop.now();
  pass(400);
  loop.stop();
  loop.now();
  assert.deepEqual(said, [0, 10, 610, 610, 1010]);
});

test('changes that can wait are announced together, by the time that the first one set', (t) => {
  const { loop, said, pass } = stage(t);
  loop.within(100);
  pass(60);
  loop.within(100);
  loop.within(1);
  pass(40);
  loop.within(50);
  pass(50);
  assert.deepEqual(said, [100, 150]);
});

test('an announcement includes the changes that wait, and the end drops them', (t) => {
  const { loop, said, pass } = stage(t);
  loop.within(100);
  pass(20);
  loop.now();
  pass(500);
  loop.within(100);
  loop.stop();
  loop.within(100);
  pass(500);
  assert.deepEqual(said, [20]);
});

test('what is done each second decides whether there is something to announce', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const said: number[] = [];
  let turns = 0;
  const loop = new AnnounceLoop(() => said.push(turns));
  loop.start(() => {
    if (++turns % 2 === 0) loop.now();
  });
  t.mock.timers.tick(4000);
  loop.stop();
  assert.deepEqual([turns, said], [5, [2, 4]]);
});
