import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Congestion } from '#services/router/queue/congestion.ts';
import { Slots } from '#services/router/store/slots.ts';

const HOP = 'smtp://peer.example';

test('mail that was tried before has no place before the mail of others', () => {
  const slots = new Slots();
  const congestion = new Congestion();
  const add = (id: string, sender: number) => slots.add(id, 'active', undefined, sender);
  const bulk = ['b1', 'b2', 'b3'].map((id) => add(id, 1));
  const single = add('s', 2);
  const park = (waiting: typeof bulk): string[] => {
    congestion.attemptStarted(HOP);
    for (const slot of waiting) congestion.park(HOP, slot);
    return congestion.attemptEnded(HOP, 1).map((slot) => {
      slot.parked = undefined;
      return slot.id;
    });
  };
  const start = (slot = single): void => {
    congestion.attemptStarted(HOP);
    congestion.answered(slot);
  };
  assert.deepEqual(park(bulk), ['b1', 'b2', 'b3']);
  // There is no room after all for the last one: it keeps its place.
  for (const slot of bulk.slice(0, 2)) start(slot);
  for (let n = 0; n < 2; n++) congestion.attemptEnded(HOP, 1);
  assert.deepEqual(park([...bulk, single]), ['b3', 'b1', 'b2', 's']);
  for (const slot of [...bulk, single]) {
    start(slot);
    congestion.attemptEnded(HOP, 1);
  }
  assert.deepEqual(park([...bulk, single]), ['b1', 'b2', 's', 'b3']);
});

test('room is kept for what is handed back, and given to another one where it does not come', () => {
  const slots = new Slots();
  const congestion = new Congestion();
  const [first, second, third, other] = ['1', '2', '3', '4'].map((id, n) => slots.add(id, 'active', undefined, n));
  assert.ok(first && second && third && other);
  for (let n = 0; n < 2; n++) congestion.attemptStarted(HOP);
  const ended = (): string[] =>
    congestion.attemptEnded(HOP, 2).map((slot) => {
      slot.parked = undefined;
      return slot.id;
    });
  for (const slot of [first, second, third]) congestion.park(HOP, slot);
  assert.deepEqual(ended(), ['1']);
  assert.ok(congestion.isFull(HOP, 2, other), 'what was not called does not take its room');
  assert.ok(!congestion.isFull(HOP, 2, first) && congestion.hasRoom(first));
  // It has left the queue.
  congestion.answered(first);
  assert.ok(!congestion.isFull(HOP, 2, other));
  congestion.attemptStarted(HOP);
  congestion.attemptStarted(HOP);
  assert.deepEqual(ended(), []);
  assert.deepEqual(ended(), ['2']);
  congestion.answered(second);
  assert.deepEqual(ended(), ['3'], 'all that wait, after the last attempt');
  assert.ok(!congestion.hasRoom(third));
});

test('a single message passes a thousand of another sender that came too late', () => {
  const slots = new Slots();
  const congestion = new Congestion();
  const add = (id: string, sender: number) => slots.add(id, 'active', undefined, sender);
  const bulk = Array.from({ length: 1002 }, (_, n) => add(`b${n}`, 1));
  for (let n = 0; n < 3; n++) congestion.attemptStarted(HOP);
  for (const slot of bulk.slice(2)) congestion.park(HOP, slot);
  const ended = (): (typeof bulk)[number][] => {
    const called = congestion.attemptEnded(HOP, 3);
    for (const slot of called) slot.parked = undefined;
    congestion.attemptStarted(HOP);
    return called;
  };
  // All of them are called, read, and find no room: only then they are back.
  const late = Array.from({ length: 500 }, ended).flat();
  for (const slot of late) {
    congestion.park(HOP, slot);
    congestion.answered(slot);
  }
  const single = add('single', 2);
  congestion.park(HOP, single);
  const calls = Array.from({ length: 2 }, ended);
  assert.ok(calls.flat().includes(single), `${calls.flat().map(({ id }) => id)}`);
  // Also where there is no room for it.
  for (const slot of calls.flat()) {
    congestion.park(HOP, slot);
    congestion.answered(slot);
  }
  assert.ok(Array.from({ length: 2 }, ended).flat().includes(single));
});
