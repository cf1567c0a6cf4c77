import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LivePeers } from '#cluster/members/peers.ts';

/** Peers by a clock that the test moves; `hear` says that nodes are live. */
function peersAt(options: { bus?: boolean; connected?: boolean } = {}) {
  const site = { now: 1000, connected: options.connected ?? true };
  const peers = new LivePeers<string>({
    bus: options.bus === false ? undefined : { connected: () => site.connected },
    clock: () => site.now,
  });
  const hear = (...nodes: string[]): void => nodes.forEach((node) => void peers.hear(node, node));
  /** Let time pass second by second, with these nodes heard each second. */
  const pass = (seconds: number, ...nodes: string[]): void => {
    for (let s = 0; s < seconds; s++) {
      site.now += 1000;
      hear(...nodes);
      void peers.standing;
    }
  };
  const kind = (): string => peers.standing.kind;
  return { peers, site, hear, pass, kind };
}

test('without a bus nobody else can be there', () => {
  assert.deepEqual(peersAt({ bus: false }).peers.standing, { kind: 'alone' });
});

test('an instance that starts listens first, and is alone when nobody was heard', () => {
  const { kind, pass } = peersAt();
  assert.equal(kind(), 'listening');
  pass(1);
  assert.equal(kind(), 'listening');
  pass(2);
  assert.equal(kind(), 'alone');
});

test('an instance that starts without the bus takes the cluster for three', () => {
  const { peers, site, kind, pass } = peersAt({ connected: false });
  pass(60);
  assert.deepEqual(peers.standing, { kind: 'apart', of: 3 });
  site.connected = true;
  assert.equal(kind(), 'listening');
});

test('those that are heard are together immediately; hear tells which are new', () => {
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
  const { site, pass, kind } = peersAt();
  pass(3, 'b');
  site.connected = false;
  pass(3600);
  assert.equal(kind(), 'apart');
  site.connected = true;
  assert.equal(kind(), 'listening');
  pass(3);
  assert.equal(kind(), 'apart');
  pass(600);
  assert.equal(kind(), 'alone');
});

test('a bus that is away for a moment changes nothing', () => {
  const { site, pass, kind } = peersAt();
  pass(3, 'b', 'c');
  site.connected = false;
  pass(2);
  assert.equal(kind(), 'together');
  site.connected = true;
  pass(1, 'b', 'c');
  assert.equal(kind(), 'together');
});
