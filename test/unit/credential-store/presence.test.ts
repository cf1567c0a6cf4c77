import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { mayAct } from '#services/credential-store/driver/node-effects.ts';
import { Presence } from '#services/credential-store/presence.ts';
import type { PresentHolder } from '#shared/keys/holders.ts';

/** Which processes are live, by a clock that the test sets. */

/** Milliseconds that have passed; `wall` is what the clock on the wall shows beyond that. */
function mockedClock(t: TestContext) {
  const clock = { now: 1_000_000, wall: 1_700_000_000_000 };
  t.mock.method(performance, 'now', () => clock.now);
  t.mock.method(Date, 'now', () => clock.wall + clock.now);
  return clock;
}

const said = (fields: Partial<PresentHolder> = {}): PresentHolder => ({
  ...{ node: 'edge-2', instance: 'i1', revision: 7, time: Date.now(), neks: ['aa'] },
  ...fields,
});

test('a process that was heard within five seconds is live; after more silence it is not, and is news when it is back', (t) => {
  const clock = mockedClock(t);
  const presence = new Presence();
  let news = 0;
  presence.onNews(() => news++);
  presence.hear('signer', said());
  const begun = clock.now;
  const steps: [after: number, live: number][] = [
    [0, 1],
    [4999, 1],
    [5000, 1],
    [5001, 0],
    [60_000, 0],
  ];
  for (const [after, live] of steps) {
    clock.now = begun + after;
    assert.equal(presence.live().length, live, `after ${after} ms`);
  }
  assert.equal(news, 1);
  presence.hear('signer', said());
  assert.equal(news, 2);
  const [holder] = presence.live();
  assert.deepEqual(holder, {
    ...{ node: 'edge-2', kind: 'signer', instance: 'i1', revision: 7, heard: 0, clock: 0, neks: ['aa'] },
  });
});

test('what is news: a process comes, comes back, changes its revision or falls behind; not what is said again', (t) => {
  const clock = mockedClock(t);
  const presence = new Presence();
  let news = 0;
  const stop = presence.onNews(() => news++);
  const steps: [what: string, after: number, fields: Partial<PresentHolder>, news: boolean][] = [
    ['comes', 0, {}, true],
    ['again', 1000, {}, false],
    ['again, with another clock', 1000, { time: 5 }, false],
    ['again, a little late', 5000, {}, false],
    ['a change', 0, { revision: 8 }, true],
    ['behind', 1000, { revision: 8, behind: 'NATS is away' }, true],
    ['still behind', 1000, { revision: 8, behind: 'NATS is away' }, false],
    ['caught up', 1000, { revision: 8 }, true],
    ['another process of the node', 0, { revision: 8, instance: 'i2' }, true],
    ['another node', 0, { revision: 8, node: 'edge-3' }, true],
    ['back after silence', 5001, { revision: 8, node: 'edge-3' }, true],
  ];
  for (const [what, after, fields, expected] of steps) {
    clock.now += after;
    const before = news;
    presence.hear('signer', said(fields));
    assert.equal(news > before, expected, what);
  }
  stop();
  presence.hear('signer', said({ revision: 100 }));
  assert.equal(news, steps.filter(([, , , expected]) => expected).length);
});

test('holders are told apart by kind, node and process, and listed in the order of these', (t) => {
  mockedClock(t);
  const presence = new Presence();
  presence.hear('signer', said({ node: 'edge-10' }));
  presence.hear('signer', said({ node: 'edge-1' }));
  presence.hear('credential-store', said({ node: 'edge-1', behind: 'it reads', neks: [] }));
  presence.hear('signer', said({ node: 'edge-1', instance: 'i2' }));
  presence.hear('credential-store', said({ node: 'edge-10' }));
  assert.deepEqual(
    presence.live().map((h) => [h.node, h.kind, h.instance, h.behind]),
    [
      ['edge-1', 'credential-store', 'i1', 'it reads'],
      ['edge-1', 'signer', 'i1', undefined],
      ['edge-1', 'signer', 'i2', undefined],
      ['edge-10', 'credential-store', 'i1', undefined],
      ['edge-10', 'signer', 'i1', undefined],
    ],
  );
});

test('which are live is known after three seconds, also after the connection to the others was lost', (t) => {
  const clock = mockedClock(t);
  const presence = new Presence();
  const settledAfter = (ms: number): boolean => {
    clock.now += ms;
    return presence.settled;
  };
  assert.deepEqual([settledAfter(0), settledAfter(2999), settledAfter(1)], [false, false, true]);
  presence.hear('signer', said());
  presence.reset();
  assert.deepEqual([settledAfter(0), settledAfter(2999), settledAfter(1)], [false, false, true]);
  // What was heard before is as old as it is.
  assert.equal(presence.live().length, 1);
  assert.deepEqual([settledAfter(2001), presence.live().length], [true, 0]);
});

/** What a node says, by its own clock, some ms on its way; then the offset of its clock that is computed. */
const CLOCKS: [what: string, messages: [offset: number, way: number][], clock: number][] = [
  ['the same', [[0, 0]], 0],
  ['ahead', [[90_000, 0]], 90_000],
  ['behind by years', [[-1e11, 0]], -1e11],
  [
    'a slow message is not a slow clock, once a faster one came',
    [
      [0, 700],
      [0, 3],
      [0, 900],
    ],
    -3,
  ],
  [
    'set right while we listen',
    [
      [120_000, 5],
      [120_000, 2],
      [0, 4],
    ],
    -4,
  ],
  [
    'set wrong while we listen',
    [
      [0, 1],
      [-120_000, 1],
    ],
    -120_001,
  ],
  [
    'set back a little, which shows beyond a second',
    [
      [800, 0],
      [400, 0],
      [0, 0],
      [-300, 0],
    ],
    -300,
  ],
];
for (const [what, messages, expected] of CLOCKS) {
  test(`the clock of another node: ${what}`, (t) => {
    const clock = mockedClock(t);
    const presence = new Presence();
    for (const [offset, way] of messages) {
      clock.now += 1000;
      presence.hear('signer', said({ time: Date.now() + offset - way }));
    }
    assert.equal(presence.live()[0]?.clock, expected);
  });
}

test('of two credential-stores with one name the older one acts, and the younger again when that is gone', (t) => {
  const clock = mockedClock(t);
  const [older, younger] = [new Presence(), new Presence()];
  const following = { state: 'following' as const, canChange: true };
  clock.now += 3000;
  const may = (presence: Presence): boolean => mayAct(following, presence, 'edge-1');
  assert.deepEqual([may(older), may(younger)], [true, true]);
  for (const heard of [older, younger]) {
    for (const { instance } of [older, younger]) {
      heard.hear('credential-store', said({ node: 'edge-1', instance }));
      // Signers of one name, and others' stores, change nothing.
      heard.hear('signer', said({ node: 'edge-1', instance: '0' }));
      heard.hear('credential-store', said({ node: 'edge-2', instance: '0' }));
    }
  }
  assert.deepEqual([may(older), may(younger)], [true, false]);
  assert.equal(mayAct({ state: 'local', canChange: true }, younger, 'edge-1'), true);
  clock.now += 5001;
  assert.deepEqual([may(older), may(younger)], [true, true]);
});
