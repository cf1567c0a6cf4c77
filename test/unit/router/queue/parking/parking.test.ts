import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { NextHop, Pause } from '#services/router/delivery/job.ts';
import { Parking } from '#services/router/queue/parking/parking.ts';
import { type Slot, Slots } from '#services/router/store/slots.ts';
import { reply } from '#shared/mail/reply.ts';
import { mockClocks } from '#test/kit/clocks.ts';

const HOP = 'smtp://peer.example';
const OTHER = 'smtp://other.example';
const DAY_MS = 86_400_000;

const nextHop = (key: string): NextHop => ({ key, spec: { kind: 'discard' }, tls: 'off' });

/** The parking, with what the rest of the queue does in the hands of the test. */
function setUp(t: TestContext) {
  const clocks = mockClocks(t);
  const slots = new Slots();
  const pauses = new Map<string, Pause>();
  const called: string[] = [];
  const atWork = new Set<Slot>();
  const busy = new Set<string>();
  const parking = new Parking({
    slots,
    pauseOf: (hop) => {
      const pause = pauses.get(typeof hop === 'string' ? hop : hop.key);
      return pause !== undefined && pause.until > performance.now() ? pause : undefined;
    },
    isReached: () => false,
    isBusy: (key) => busy.has(key),
    isAtWork: (slot) => atWork.has(slot),
    call: (slot) => {
      called.push(slot.id);
      slots.schedule.delete(slot);
      atWork.add(slot);
    },
    readBy: () => performance.now() + DAY_MS,
  });
  const add = (id: string, hop: string, sender = 0): Slot => {
    const slot = slots.add(id, 'deferred', undefined, sender);
    slots.setHop(slot, hop);
    return slot;
  };
  return {
    ...{ clocks, slots, parking, called, atWork, busy, add },
    /** It is due: whether it is parked. */
    due: (slot: Slot): boolean => parking.takes(slot, performance.now()),
    look: (): string[] => {
      called.length = 0;
      parking.gather(performance.now());
      return [...called];
    },
    /** The next hop does not answer, and is left alone for this time. */
    fail(key: string, ms: number): void {
      pauses.set(key, {
        until: performance.now() + ms,
        at: Date.now(),
        reply: reply(451, '4.4.1', 'dead'),
        host: undefined,
      });
      parking.ended(key);
    },
  };
}

test('one message goes first, the others wait for what it finds, and one more when the back-off ends', (t) => {
  const { add, due, look, fail, clocks, slots, parking } = setUp(t);
  const [first, ...others] = ['a', 'b', 'c'].map((id) => add(id, HOP));
  assert.ok(first !== undefined);
  assert.equal(due(first), false);
  assert.deepEqual(others.map(due), [true, true]);
  assert.ok(others.every((slot) => slots.schedule.due(slot) - performance.now() === DAY_MS));
  fail(HOP, 5000);
  clocks.tick(4999);
  assert.deepEqual(look(), []);
  const late = add('d', HOP);
  assert.equal(due(late), true);
  clocks.tick(1);
  assert.deepEqual(look(), ['b']);
  fail(HOP, 10_000);
  clocks.tick(10_000);
  assert.deepEqual(look(), ['c']);
  assert.equal(parking.opened(HOP), true);
  assert.deepEqual(look(), []);
  assert.equal(slots.hops.size, 0);
});

test('when the next hop is back, mail goes by two for each attempt that ends, its senders in turns', (t) => {
  const { add, due, fail, look, called, clocks, parking } = setUp(t);
  fail(HOP, 1000);
  for (let n = 1; n <= 6; n++) due(add(`bulk${n}`, HOP, 1));
  due(add('single', HOP, 2));
  clocks.tick(1000);
  assert.deepEqual(look(), ['bulk1']);
  called.length = 0;
  parking.opened(HOP);
  assert.deepEqual(called, ['bulk2', 'bulk3']);
  called.length = 0;
  parking.ended(HOP);
  assert.deepEqual(called, ['single', 'bulk4']);
  // No attempt ends: what was handed on may have gone elsewhere.
  clocks.tick(1000);
  assert.deepEqual(look(), ['bulk5', 'bulk6']);
  assert.equal(parking.size, 0);
});

test('nothing is read for a next hop that has as much as it can use', (t) => {
  const { add, due, fail, look, called, busy, clocks, parking } = setUp(t);
  fail(HOP, 1000);
  for (const id of ['a', 'b', 'c']) due(add(id, HOP));
  clocks.tick(1000);
  look();
  busy.add(HOP);
  parking.opened(HOP);
  clocks.tick(1000);
  assert.deepEqual(look(), []);
  busy.clear();
  called.length = 0;
  parking.ended(HOP);
  assert.deepEqual(called, ['b', 'c']);
});

test('a next hop that fails again while its mail goes keeps the rest', (t) => {
  const { add, due, fail, look, called, clocks, parking } = setUp(t);
  fail(HOP, 1000);
  for (const id of ['a', 'b', 'c', 'd', 'e']) due(add(id, HOP));
  clocks.tick(1000);
  look();
  parking.opened(HOP);
  fail(HOP, 1000);
  called.length = 0;
  parking.ended(HOP);
  assert.deepEqual(called, []);
  clocks.tick(1000);
  assert.deepEqual(look(), ['d']);
});

test('where the first message is tried nowhere, the next one goes first', (t) => {
  const { add, due, look, atWork, clocks, slots } = setUp(t);
  const [held, next, removed] = ['a', 'b', 'c'].map((id) => add(id, HOP)) as [Slot, Slot, Slot];
  due(held);
  atWork.add(held);
  due(removed);
  due(next);
  clocks.tick(1000);
  assert.deepEqual(look(), []);
  slots.move(held, 'hold');
  atWork.delete(held);
  slots.remove(removed);
  clocks.tick(1000);
  assert.deepEqual(look(), ['b']);
});

test('when the first message goes elsewhere, the others are read', (t) => {
  const { add, due, look, clocks, parking } = setUp(t);
  const [first, ...others] = ['a', 'b', 'c'].map((id) => add(id, HOP));
  assert.ok(first !== undefined);
  due(first);
  for (const slot of others) due(slot);
  parking.probeRead(first, new Set([OTHER]), new Set([OTHER]));
  clocks.tick(1);
  assert.deepEqual(look(), ['b', 'c']);
  assert.equal(parking.size, 0);
});

test('where the first message is kept back, the next one goes first immediately', (t) => {
  const { add, due, parking, called } = setUp(t);
  const [first, ...others] = ['a', 'b', 'c'].map((id) => add(id, HOP));
  assert.ok(first !== undefined);
  due(first);
  for (const slot of others) due(slot);
  parking.probeRead(first, new Set([HOP]), new Set());
  assert.deepEqual(called, ['b']);
});

test('when the wall clock steps, what is parked is read', (t) => {
  const { add, due, fail, look, clocks } = setUp(t);
  fail(HOP, 60_000);
  due(add('a', HOP));
  clocks.step(-1000);
  assert.deepEqual(look(), []);
  clocks.step(DAY_MS);
  assert.deepEqual(look(), ['a']);
});

test('when routes change, all that is parked is read, and nothing is known of what is not due', (t) => {
  const { add, due, fail, look, parking, slots } = setUp(t);
  fail(HOP, 60_000);
  const later = add('later', HOP);
  for (const id of ['a', 'b']) due(add(id, HOP));
  parking.forget(() => true);
  assert.deepEqual(look(), ['a', 'b']);
  assert.deepEqual([due(later), slots.hops.size], [false, 0]);
});

test('what may go elsewhere is read alone', (t) => {
  const { add, due, fail, look, parking, slots } = setUp(t);
  for (const hop of [HOP, OTHER]) fail(hop, 60_000);
  const later = [add('later', HOP), add('later too', OTHER)];
  for (const [id, hop] of [
    ['a', HOP],
    ['b', OTHER],
  ] as const)
    due(add(id, hop));
  parking.forget((key) => key === OTHER);
  assert.deepEqual(look(), ['b']);
  assert.deepEqual(
    later.map(({ hop }) => slots.hops.keyOf(hop)),
    [HOP, undefined],
  );
});

test('what is read again for new routes is read once, though it was read and put off meanwhile', (t) => {
  const { add, due, fail, look, parking, slots } = setUp(t);
  fail(HOP, 60_000);
  const [read, waiting] = [add('a', HOP), add('b', HOP)];
  for (const slot of [read, waiting]) due(slot);
  parking.forget(() => true);
  slots.setHop(read, OTHER);
  assert.deepEqual(look(), ['b']);
});

test('a first message that is tried elsewhere alone does not keep the others waiting', (t) => {
  const { add, due, parking, called } = setUp(t);
  const [first, next] = [add('a', HOP), add('b', HOP)];
  for (const slot of [first, next]) due(slot);
  parking.probeRead(first, new Set([HOP, OTHER]), new Set([OTHER]));
  assert.deepEqual(called, ['b']);
});

test('a message for two next hops goes when either is back, once', (t) => {
  const { add, fail, look, called, clocks, parking, slots } = setUp(t);
  for (const key of [HOP, OTHER]) fail(key, 1000);
  const slot = add('a', '');
  assert.deepEqual(
    [parking.keeps(nextHop(HOP), slot, false), parking.keeps(nextHop(OTHER), slot, false)],
    [true, true],
  );
  clocks.tick(500);
  fail(HOP, 5000);
  clocks.tick(500);
  assert.deepEqual(look(), ['a']);
  called.length = 0;
  parking.opened(OTHER);
  // It still waits for the other one.
  assert.equal(parking.keeps(nextHop(HOP), slot, false), true);
  clocks.tick(4500);
  assert.deepEqual(look(), ['a']);
  assert.ok(slots.hops.size <= 1);
});

test('what an operator asks for, and what must be read now, is not parked', (t) => {
  const { add, due, fail } = setUp(t);
  fail(HOP, 60_000);
  const [forced, parked] = [add('a', HOP), add('b', HOP)];
  forced.forced = true;
  assert.equal(due(forced), false);
  assert.equal(due(parked), true);
  // Its time has come a second time: it is the one by which it must be read.
  assert.equal(due(parked), false);
  assert.equal(due(add('c', '')), false);
});

test('a number of a next hop is given again when nothing uses it', () => {
  const slots = new Slots();
  const slot = slots.add('a', 'deferred');
  slots.setHop(slot, HOP);
  const number = slot.hop;
  slots.setHop(slot, HOP);
  assert.deepEqual([slot.hop, slots.hops.size], [number, 1]);
  slots.remove(slot);
  const other = slots.add('b', 'deferred');
  slots.setHop(other, OTHER);
  assert.deepEqual([other.hop, slots.hops.keyOf(number)], [number, OTHER]);
  slots.setHop(slot, HOP);
  assert.equal(slot.hop, 0, 'it has left the queue');
});
