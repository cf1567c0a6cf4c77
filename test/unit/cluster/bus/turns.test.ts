import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTick } from 'node:timers/promises';
import { Turns } from '#cluster/bus/turns.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What is taken up, in its order, by callers. */
function lane() {
  const turns = new Turns();
  const taken: string[] = [];
  const add = (caller: string, bytes = 100) => turns.add({ caller, bytes, take: () => taken.push(caller) }) === 'waits';
  const flood = (caller: (i: number) => string, bytes?: number): number => {
    let accepted = 0;
    for (let i = 0; i < 5000; i++) accepted += add(caller(i), bytes) ? 1 : 0;
    return accepted;
  };
  return { taken, add, flood };
}

test('requests that come one by one are taken up as they come', async () => {
  const { taken, add } = lane();
  for (let i = 0; i < 200; i++) {
    assert.ok(add('listener'));
    assert.equal(taken.length, i + 1);
    await nextTick();
  }
});

test('a caller that floods a process is refused, and others come between', async () => {
  const { taken, add, flood } = lane();
  add('listener');
  await nextTick();
  const accepted = flood(() => 'flood');
  assert.ok(accepted < 1200, `${accepted} of 5000 were accepted`);
  assert.ok(add('listener'), 'the other is refused');
  const before = taken.length;
  await waitFor(() => taken.length === accepted + 2, { what: 'the turn' });
  assert.ok(taken.indexOf('listener', 1) - before <= 2, 'it stands behind the flood');
});

test('a caller with a name for each request stands in one line', async () => {
  const { taken, add, flood } = lane();
  add('listener');
  await nextTick();
  const accepted = flood((i) => `made-up-${i}`);
  assert.ok(accepted < 1400, `${accepted} of 5000 were accepted`);
  const before = taken.length;
  assert.ok(add('listener'));
  await waitFor(() => taken.includes('listener', before), { what: 'the turn' });
  assert.ok(taken.indexOf('listener', 1) - before <= 2, 'it stands behind the flood');
});

test('the line of a caller that floods takes no time from reading the connection', async () => {
  const { taken, add, flood } = lane();
  add('listener');
  await nextTick();
  flood(() => 'flood');
  const before = taken.length;
  for (let i = 0; i < 20; i++) {
    await nextTick();
    flood(() => 'flood');
    for (let n = 0; n < 10; n++) add('listener');
  }
  await nextTick();
  const since = taken.slice(before);
  assert.equal(since.filter((caller) => caller === 'listener').length, 200);
  assert.ok(since.length <= 200 + 22, `${since.length - 200} of the flood were taken up in 21 turns`);
});

test('few of a flood are answered that they are refused', async () => {
  const turns = new Turns();
  const answers = Array.from({ length: 5000 }, () => turns.add({ caller: 'flood', bytes: 100, take: () => {} }));
  assert.equal(answers.filter((answer) => answer === 'refused').length, 16);
  await nextTick();
});

test('large requests of one caller do not fill the memory', async () => {
  const { taken, add, flood } = lane();
  add('listener');
  await nextTick();
  const accepted = flood(() => 'flood', 1024 * 1024);
  assert.ok(accepted <= 64 + 64, `${accepted} MB are held`);
  assert.ok(add('listener', 1024 * 1024));
  await waitFor(() => taken.length === accepted + 2, { what: 'the turn' });
});
