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
  const other = add('o', 3);
  const park = (waiting: typeof bulk): string[] => {
    congestion.attemptStarted(HOP, other);
    for (const slot of waiting) congestion.park(HOP, slot);
    return congestion.attemptEnded(HOP, 1).map((slot) => {
      slot.parked = undefined;
      return slot.id;
    });
  };
  assert.deepEqual(park(bulk), ['b1', 'b2', 'b3']);
  // There is no room after all for the last one: it keeps its place.
  congestion.attemptStarted(HOP, bulk[0] ?? other);
  congestion.attemptStarted(HOP, bulk[1] ?? other);
  congestion.attemptEnded(HOP, 1);
  congestion.attemptEnded(HOP, 1);
  assert.deepEqual(park([...bulk, single]), ['b3', 'b1', 'b2', 's']);
  for (const slot of [...bulk, single]) {
    congestion.attemptStarted(HOP, slot);
    congestion.attemptEnded(HOP, 1);
  }
  assert.deepEqual(park([...bulk, single]), ['b1', 'b2', 's', 'b3']);
});

test('one that came too late is called alone the next time, and the destination never runs dry', () => {
  const slots = new Slots();
  const congestion = new Congestion();
  const [first, second, late, waiting] = ['1', '2', '3', '4'].map((id, n) => slots.add(id, 'active', undefined, n));
  assert.ok(first && second && late && waiting);
  for (const slot of [first, second]) congestion.attemptStarted(HOP, slot);
  const ended = (): string[] =>
    congestion.attemptEnded(HOP, 2).map((slot) => {
      slot.parked = undefined;
      return slot.id;
    });
  for (const slot of [late, waiting]) congestion.park(HOP, slot);
  assert.deepEqual(ended(), ['3', '4']);
  congestion.attemptStarted(HOP, waiting);
  for (const slot of [late, first]) congestion.park(HOP, slot);
  assert.deepEqual(ended(), ['3']);
  congestion.attemptStarted(HOP, late);
  assert.deepEqual(ended(), ['1']);
  congestion.park(HOP, first);
  assert.deepEqual(ended(), ['1'], 'all that wait, after the last attempt');
});

test('a single message passes a thousand of another sender that came too late', () => {
  const slots = new Slots();
  const congestion = new Congestion();
  const add = (id: string, sender: number) => slots.add(id, 'active', undefined, sender);
  const bulk = Array.from({ length: 1002 }, (_, n) => add(`b${n}`, 1));
  for (const slot of [...bulk.slice(0, 2), ...bulk.slice(0, 1)]) congestion.attemptStarted(HOP, slot);
  for (const slot of bulk.slice(2)) congestion.park(HOP, slot);
  const ended = (): (typeof bulk)[number][] => {
    const called = congestion.attemptEnded(HOP, 3);
    for (const slot of called) slot.parked = undefined;
    congestion.attemptStarted(HOP, add('fresh mail takes the room', 3));
    return called;
  };
  // All of them are called, read, and find no room: only then they are back.
  const late = Array.from({ length: 500 }, ended).flat();
  for (const slot of late) congestion.park(HOP, slot);
  const single = add('single', 2);
  congestion.park(HOP, single);
  const calls = Array.from({ length: 2 }, ended);
  assert.ok(calls.flat().includes(single), `${calls.flat().map(({ id }) => id)}`);
  // Also where there is no room for it.
  congestion.park(HOP, single);
  for (const slot of calls.flat()) if (slot !== single) congestion.park(HOP, slot);
  assert.ok(Array.from({ length: 2 }, ended).flat().includes(single));
});
