import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Peers } from '#cluster/members/peers.ts';

/** Peers by a clock that the test moves; `hear` says that nodes are there. */
function peersAt(options: { bus?: boolean; connected?: boolean } = {}) {
  const world = { now: 1000, connected: options.connected ?? true };
  const peers = new Peers<string>({
    bus: options.bus ?? true,
    connected: () => world.connected,
    clock: () => world.now,
  });
  const hear = (...nodes: string[]): void => nodes.forEach((node) => void peers.hear(node, node));
  /** Let time pass second by second, with these nodes heard each second. */
  const pass = (seconds: number, ...nodes: string[]): void => {
    for (let s = 0; s < seconds; s++) {
      world.now += 1000;
      hear(...nodes);
      void peers.standing;
    }
  };
  const kind = (): string => peers.standing.kind;
  return { peers, world, hear, pass, kind };
}

test('without a bus nobody else can be there', () => {
  assert.deepEqual(peersAt({ bus: false }).peers.standing, { kind: 'alone' });
});

test('whoever starts listens first, and is alone when nobody was heard', () => {
  const { kind, pass } = peersAt();
  assert.equal(kind(), 'listening');
  pass(1);
  assert.equal(kind(), 'listening');
  pass(2);
  assert.equal(kind(), 'alone');
});

test('whoever starts without the bus takes the cluster for three', () => {
  const { peers, world, kind, pass } = peersAt({ connected: false });
  pass(60);
  assert.deepEqual(peers.standing, { kind: 'apart', of: 3 });
  world.connected = true;
  assert.equal(kind(), 'listening');
});

test('those who are heard are together at once; hear tells who is new', () => {
  const { peers, pass } = peersAt();
  assert.equal(peers.hear('b', 'b'), true);
  assert.equal(peers.hear('b', 'b'), false);
  assert.deepEqual(peers.standing, { kind: 'together', others: ['b'] });
  pass(1, 'b', 'c');
  assert.deepEqual(peers.standing, { kind: 'together', others: ['b', 'c'] });
});

test('one of three dies: after three seconds the others are together without it', () => {
  const { peers, pass } = peersAt();
  pass(3, 'b', 'c');
  pass(3, 'b');
  assert.deepEqual(peers.standing, { kind: 'together', others: ['b', 'c'] });
  pass(1, 'b');
  assert.deepEqual(peers.standing, { kind: 'together', others: ['b'] });
  assert.equal(peers.hear('c', 'c'), true, 'it is news when it is back');
});

test('no more than half are heard: apart, by the number that is known', () => {
  for (const [known, heard, of] of [
    [['b'], [], 2],
    [['b', 'c'], [], 3],
    [['b', 'c', 'd'], ['b'], 4],
    [['b', 'c', 'd', 'e'], ['b'], 5],
  ] as const) {
    const { peers, pass } = peersAt();
    pass(3, ...known);
    pass(4, ...heard);
    assert.deepEqual(peers.standing, { kind: 'apart', of }, `${known} known, ${heard} heard`);
  }
});

test('one that says goodbye is not known any more', () => {
  const { peers, pass, kind } = peersAt();
  pass(3, 'b');
  peers.leave('b');
  assert.equal(kind(), 'alone');
});

test('one that is silent for ten minutes is forgotten, but never while the bus is away', () => {
  const { world, pass, kind } = peersAt();
  pass(3, 'b');
  world.connected = false;
  pass(3600);
  assert.equal(kind(), 'apart');
  world.connected = true;
  assert.equal(kind(), 'listening');
  pass(3);
  assert.equal(kind(), 'apart');
  pass(600);
  assert.equal(kind(), 'alone');
});

test('a bus that is away for a moment changes nothing', () => {
  const { world, pass, kind } = peersAt();
  pass(3, 'b', 'c');
  world.connected = false;
  pass(2);
  assert.equal(kind(), 'together');
  world.connected = true;
  pass(1, 'b', 'c');
  assert.equal(kind(), 'together');
});
