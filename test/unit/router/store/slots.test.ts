import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SlotState, Slots } from '#services/router/store/slots.ts';

const STATES: readonly SlotState[] = ['active', 'deferred', 'hold'];

test('what a slot knows does not change with what else it knows', () => {
  const slots = new Slots();
  const slot = slots.add('01KB2QW2Y3ABCDEF', 'hold', undefined, 2 ** 30 - 1);
  for (const state of STATES)
    for (const forced of [true, false])
      for (const inTurn of [true, false])
        for (const localTries of [3, 1_000_000, 0]) {
          slots.move(slot, state);
          Object.assign(slot, { forced, inTurn, localTries });
          slot.localTries++;
          const { id, sender, at } = slot;
          assert.deepEqual(
            { id, sender, at, state: slot.state, forced: slot.forced, inTurn: slot.inTurn, tries: slot.localTries },
            { id: '01KB2QW2Y3ABCDEF', sender: 2 ** 30 - 1, at: -1, state, forced, inTurn, tries: localTries + 1 },
          );
        }
});

test('slots are counted by their state until they are removed', () => {
  const slots = new Slots();
  const [one, other] = [slots.add('01KB2QW2Y3ABCDEF', 'active'), slots.add('01KB2QW2Y3ABCDEG', 'deferred')];
  slots.move(one, 'hold');
  assert.deepEqual(slots.counts, { active: 0, deferred: 1, hold: 1 });
  slots.remove(one);
  slots.remove(one);
  slots.move(one, 'active');
  assert.deepEqual(slots.counts, { active: 0, deferred: 1, hold: 0 });
  assert.deepEqual([slots.removed, slots.has(one), slots.has(other)], [1, false, true]);
});
