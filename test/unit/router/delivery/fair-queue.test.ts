import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairQueue } from '#services/router/delivery/fair-queue.ts';

/** What comes out of a queue that got these, each as sender and number: `1.0`. */
function queueOf(...items: string[]): FairQueue<string> {
  const queue = new FairQueue<string>();
  for (const item of items) queue.push(item, Number(item.split('.')[0]));
  return queue;
}

function drain(queue: FairQueue<string>, most = Number.POSITIVE_INFINITY): string[] {
  const out: string[] = [];
  while (out.length < most) {
    const item = queue.shift();
    if (item === undefined) break;
    out.push(item);
  }
  return out;
}

test('nothing comes out of an empty one, nor of one that has become empty', () => {
  const queue = queueOf('1.0');
  assert.equal(drain(queue).length, 1);
  assert.equal(queue.shift(), undefined);
  assert.equal(queue.length, 0);
});

test('one sender: the order of arrival', () => {
  assert.deepEqual(drain(queueOf('1.0', '1.1', '1.2', '1.3')), ['1.0', '1.1', '1.2', '1.3']);
});

test('several senders take turns, each in the order of its arrival', () => {
  const out = drain(queueOf('1.0', '1.1', '1.2', '1.3', '2.0', '2.1', '3.0'));
  assert.deepEqual(out.toSorted(), ['1.0', '1.1', '1.2', '1.3', '2.0', '2.1', '3.0']);
  assert.deepEqual(
    out.filter((item) => item.startsWith('1')),
    ['1.0', '1.1', '1.2', '1.3'],
  );
  assert.ok(out.indexOf('3.0') < 5 && out.indexOf('2.0') < 4, out.join());
});

test('a single message passes a hundred thousand of another sender', () => {
  const queue = queueOf(...Array.from({ length: 100_000 }, (_, n) => `1.${n}`));
  drain(queue, 500);
  queue.push('2.0', 2);
  assert.ok(drain(queue, 2).includes('2.0'));
  assert.equal(drain(queue).length, 99_500 - 1);
});

test('a flood under ever new senders takes half of the turns at most', () => {
  const queue = queueOf('1.0', '1.1', '1.2', '1.3', '1.4', '1.5');
  for (let n = 0; n < 1000; n++) queue.push(`${n + 10}.0`, n + 10);
  const out = drain(queue, 12);
  assert.ok(out.filter((item) => item.startsWith('1.')).length >= 5, out.join());
});
