import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairQueue } from '#services/policy/authentication/fair-queue.ts';

/** Work that ends when it is told to. */
class Work {
  readonly started: string[] = [];
  readonly #finish: (() => void)[] = [];
  readonly #queue: FairQueue;

  constructor(queue: FairQueue) {
    this.#queue = queue;
  }

  come(name: string, network: string, known = false): Promise<string> {
    return this.#queue.run({ network, known }, () => {
      this.started.push(name);
      return new Promise<string>((resolve) => this.#finish.push(() => resolve(name)));
    });
  }

  /** End the one that began first; what waits for it begins. */
  async finish(): Promise<void> {
    this.#finish.shift()?.();
    await new Promise(setImmediate);
  }
}

test('a crowd from one network does not hold up a stranger from another, and a known user even less', async () => {
  const work = new Work(new FairQueue(2, 1000));
  const all: Promise<string>[] = [];
  for (let i = 0; i < 50; i++) all.push(work.come(`crowd-${i}`, '192.0.2.0/24'));
  all.push(work.come('stranger', '198.51.100.0/24'));
  all.push(work.come('known', '203.0.113.0/24', true));
  for (let i = 0; i < 4; i++) await work.finish();
  assert.deepEqual(work.started.slice(0, 6), ['crowd-0', 'crowd-1', 'known', 'crowd-2', 'stranger', 'crowd-3']);
  while (work.started.length < 52) await work.finish();
  for (let i = 0; i < 2; i++) await work.finish();
  assert.equal((await Promise.all(all)).length, 52);
});

test('one network may have a hundred waiting, all strangers together as many as a line takes', async () => {
  const work = new Work(new FairQueue(1, 150));
  const waiting = [work.come('first', 'a')];
  for (let i = 0; i < 100; i++) waiting.push(work.come(`a${i}`, 'a'));
  await assert.rejects(work.come('a', 'a'), { code: 'busy' });
  for (let i = 0; i < 50; i++) waiting.push(work.come(`b${i}`, `b${i}`));
  await assert.rejects(work.come('c', 'c'), { code: 'busy' });
  while (work.started.length < waiting.length) await work.finish();
  await work.finish();
  await Promise.all(waiting);
  const last = work.come('again', 'a');
  await work.finish();
  assert.equal(await last, 'again');
});

test('strangers from many networks do not take the room of a known user', async () => {
  const work = new Work(new FairQueue(1, 10));
  const all: Promise<string>[] = [];
  for (let i = 0; i < 11; i++) all.push(work.come(`stranger-${i}`, `network-${i}`));
  await assert.rejects(work.come('one more', 'another'), { code: 'busy' });
  all.push(work.come('known', '203.0.113.0/24', true));
  await work.finish();
  assert.deepEqual(work.started, ['stranger-0', 'known']);
  while (work.started.length < all.length) await work.finish();
  await work.finish();
  await Promise.all(all);
});

test('what its caller has given up is not begun', async () => {
  let now = 0;
  const work = new Work(new FairQueue(1, 10, () => now));
  const first = work.come('first', 'a');
  const late = assert.rejects(work.come('late', 'a'), { code: 'busy' });
  now = 9000;
  const second = work.come('second', 'b');
  await work.finish();
  await late;
  await work.finish();
  assert.deepEqual([await first, await second], ['first', 'second']);
  assert.deepEqual(work.started, ['first', 'second']);
});

test('work that fails gives its place back', async () => {
  const queue = new FairQueue(1, 1);
  const failing = queue.run({ network: 'a', known: false }, () => Promise.reject(new Error('no')));
  const next = queue.run({ network: 'a', known: false }, () => Promise.resolve('yes'));
  await assert.rejects(failing, /no/);
  assert.equal(await next, 'yes');
});
