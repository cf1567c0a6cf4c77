import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heap, type HeapItem } from '#services/router/store/heap.ts';

type Item = HeapItem & { name: number };

const item = (name: number): Item => ({ name, at: -1 });

test('taking out what is not in, and the only one, does no harm', () => {
  const heap = new Heap<Item>();
  const only = item(1);
  heap.delete(only);
  heap.set(only, 5);
  heap.delete(only);
  heap.delete(only);
  assert.equal(heap.peek(), undefined);
  assert.equal(heap.size, 0);
});

test('after any mix of puts, moves and deletions the first is the one that is due first', () => {
  // A fixed sequence of pseudo-random numbers, so that a failure can be looked at again.
  let seed = 42;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  const heap = new Heap<Item>();
  const items = Array.from({ length: 200 }, (_, n) => item(n));
  const inside = new Set<Item>();
  for (let step = 0; step < 20_000; step++) {
    const one = items[random(items.length)];
    if (one === undefined) continue;
    if (random(3) === 0) {
      heap.delete(one);
      inside.delete(one);
    } else {
      heap.set(one, random(50));
      inside.add(one);
    }
    assert.equal(heap.size, inside.size);
    const dues = [...inside].map((i) => heap.due(i));
    assert.equal(heap.first, Math.min(...dues));
    const first = heap.peek();
    assert.equal(first && heap.due(first), dues.length === 0 ? undefined : Math.min(...dues));
  }
  let last = -1;
  for (let first = heap.peek(); first !== undefined; first = heap.peek()) {
    assert.ok(heap.first >= last);
    last = heap.first;
    heap.delete(first);
    assert.equal(heap.due(first), Number.POSITIVE_INFINITY);
  }
});

test('a heap that grows and shrinks a thousandfold keeps its order', () => {
  const heap = new Heap<Item>();
  const items = Array.from({ length: 20_000 }, (_, n) => item(n));
  for (let round = 0; round < 2; round++) {
    for (const one of items) heap.set(one, (one.name * 7919) % items.length);
    assert.equal(heap.size, items.length);
    const taken: number[] = [];
    for (let first = heap.peek(); first !== undefined; first = heap.peek()) {
      taken.push(heap.first);
      heap.delete(first);
    }
    assert.deepEqual(
      taken,
      items.map((_, n) => n),
    );
  }
});
