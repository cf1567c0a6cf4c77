import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Settings } from '#cluster/config/settings.ts';
import { Failures, logInOf } from '#services/policy/authentication/failures.ts';
import { Locks } from '#services/policy/authentication/locks.ts';
import type { PolicyContract } from '#services/policy/contract.ts';
import { SharedCounts } from '#services/policy/rates/shared-counts.ts';
import type { EventPayload } from '#shared/contract.ts';
import { silentLogger } from '#shared/log.ts';
import { config } from '#test/unit/policy/fixtures.ts';

type Heard = EventPayload<PolicyContract, 'counts'>;

/** A policy service; `skew`: how far its clock is ahead, in ms. */
type Instance = {
  name: string;
  failures: Failures;
  locks: Locks;
  counts: SharedCounts;
  told: Heard[];
  hear: (heard: Heard) => void;
  /** Hears only those of its side. */
  side: number;
  skew: number;
};

const MINUTE = 60_000;

/** Policy services by a virtual clock, which hear each other when it moves on. */
class Cluster implements Disposable {
  now = 1000 * 3_600_000 + MINUTE;
  readonly all: Instance[] = [];

  constructor(size: number) {
    for (let n = 1; n <= size; n++) this.add(`edge-${n}`);
    this.pass();
  }

  add(name: string): Instance {
    const one = { name, side: 0, skew: 0, told: [] as Heard[], hear: (_: Heard): void => undefined };
    const peers = {
      announce: (_: 'counts', heard: Heard) => void one.told.push(structuredClone(heard)),
      hear: (_: 'counts', listener: (heard: Heard) => void) => {
        one.hear = listener;
        return () => undefined;
      },
      connected: () => true,
    };
    const settings = new Settings(config({ node: { name }, listeners: [] }));
    const deps = { settings, peers: peers as never, now: () => this.now + one.skew, clock: () => this.now };
    const counts = new SharedCounts(deps);
    counts.start();
    const instance = Object.assign(one, {
      counts,
      failures: new Failures({ settings, counts }),
      locks: new Locks({ settings, counts, log: silentLogger }),
    });
    this.all.push(instance);
    return instance;
  }

  node(n: number): Instance {
    const one = this.all[n - 1];
    assert.ok(one);
    return one;
  }

  /** Let seconds pass, in each of which every one tells what it counted. */
  pass(seconds = 3): void {
    for (let i = 0; i < seconds; i++) {
      this.now += 1000;
      for (const one of this.all) one.counts.tell();
      for (const one of this.all) {
        for (const heard of one.told.splice(0)) {
          for (const other of this.all) if (other !== one && other.side === one.side) other.hear(heard);
        }
      }
    }
  }

  /** It ends without a word. */
  kill(n: number): void {
    this.node(n).counts.stop();
    this.all.splice(n - 1, 1);
  }

  fail(n: number, times: number, user = 'alice', address = '192.0.2.1'): void {
    for (let i = 0; i < times; i++) this.node(n).failures.failed(logInOf(user, address));
  }

  /** At which nodes a log-in is locked. */
  locked(user = 'alice', address = '192.0.2.1'): string[] {
    return this.all
      .filter(({ failures }) => failures.tooMany(logInOf(user, address)) !== undefined)
      .map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    for (const { counts } of this.all) counts.stop();
  }
}

test('every instance lists the locks of the cluster, with what they count and when they open', () => {
  using cluster = new Cluster(3);
  cluster.fail(1, 4);
  cluster.fail(2, 4, 'ALICE');
  cluster.fail(3, 3);
  for (let i = 0; i < 100; i++) cluster.fail(1, 1, `user-${i}`, '203.0.113.7');
  cluster.fail(1, 9, 'bob', '198.51.100.1');
  for (let i = 0; i < 100; i++) cluster.fail(2, 1, 'carol', `10.0.${i}.1`);
  cluster.pass();
  for (const { locks } of cluster.all) {
    const { locks: found, more } = locks.list({});
    assert.equal(more, 0);
    assert.deepEqual(
      found.map(({ user, network, failures, limit }) => [user, network, failures, limit.count]).toSorted(),
      [
        [undefined, '203.0.113.0/24', 100, 100],
        ['alice', '192.0.2.0/24', 11, 10],
        ['carol', undefined, 100, 100],
      ],
    );
    assert.ok(found.every(({ opensMs }) => opensMs > 0 && opensMs < 120 * MINUTE));
    const opens = found.find(({ user }) => user === 'alice')?.opensMs ?? 0;
    assert.equal(locks.list({ user: 'Alice' }).locks.length, 1);
    assert.equal(locks.list({ network: '203.0.113.99' }).locks.length, 1);
    assert.equal(locks.list({ network: '203.0.0.0/16' }).locks.length, 1);
    assert.equal(locks.list({ network: '203.0.114.0/24' }).locks.length, 0);
    assert.equal(locks.list({ user: 'alice', network: '203.0.113.0/24' }).locks.length, 0);
    assert.ok(opens > 0);
  }
  const [{ opensMs = 0 } = {}] = cluster.node(1).locks.list({ user: 'alice' }).locks;
  cluster.now += opensMs;
  assert.deepEqual(cluster.locked(), [], 'it opens when it says');
});

test('a lock that is lifted at one instance is lifted at all, and the user has all tries again', () => {
  using cluster = new Cluster(3);
  cluster.fail(1, 6);
  cluster.fail(2, 6);
  cluster.pass();
  assert.equal(cluster.locked().length, 3);
  const { locks } = cluster.node(3).locks.lift({ user: 'alice' });
  assert.deepEqual(
    locks.map(({ user, network }) => ({ user, network })),
    [{ user: 'alice', network: '192.0.2.0/24' }],
  );
  cluster.pass();
  assert.deepEqual(cluster.locked(), []);
  cluster.fail(1, 5);
  cluster.fail(3, 4);
  cluster.pass();
  assert.deepEqual(cluster.locked(), []);
  cluster.fail(2, 1);
  cluster.pass();
  assert.equal(cluster.locked().length, 3, 'and locks again');
});

test('only what is named is lifted', () => {
  using cluster = new Cluster(2);
  for (const [user, address] of [
    ['alice', '192.0.2.1'],
    ['alice', '203.0.113.1'],
    ['bob', '192.0.2.1'],
  ] as const) {
    cluster.fail(1, 10, user, address);
  }
  cluster.pass();
  cluster.node(2).locks.lift({ user: 'alice', network: '192.0.2.77' });
  cluster.pass();
  assert.deepEqual(cluster.locked('alice', '192.0.2.1'), []);
  assert.equal(cluster.locked('alice', '203.0.113.1').length, 2);
  assert.equal(cluster.locked('bob', '192.0.2.1').length, 2);
  cluster.node(2).locks.lift({ network: '192.0.2.0/24' });
  cluster.pass();
  assert.deepEqual(cluster.locked('bob', '192.0.2.1'), []);
  assert.equal(cluster.locked('alice', '203.0.113.1').length, 2);
  cluster.node(1).locks.lift({});
  cluster.pass();
  assert.deepEqual(cluster.locked('alice', '203.0.113.1'), []);
});

test('an instance that was cut off does not bring a lifted lock back, and lifts its own', () => {
  using cluster = new Cluster(3);
  cluster.fail(3, 12);
  cluster.pass();
  cluster.node(3).side = 1;
  cluster.pass(10);
  cluster.node(1).locks.lift({ user: 'alice' });
  cluster.pass(20);
  assert.deepEqual(cluster.locked(), ['edge-3']);
  cluster.fail(3, 1, 'alice', '192.0.2.2');
  cluster.node(3).side = 0;
  cluster.pass();
  assert.deepEqual(cluster.locked(), []);
  cluster.pass(60);
  assert.deepEqual(cluster.locked(), []);
});

test('a lock that only an instance knows that is cut off does not come with it, where it was named', () => {
  using cluster = new Cluster(2);
  cluster.node(2).side = 1;
  cluster.pass(10);
  cluster.fail(2, 12);
  cluster.node(1).locks.lift({ user: 'alice', network: '192.0.2.1' });
  cluster.node(2).side = 0;
  cluster.pass();
  assert.deepEqual(cluster.locked(), []);
});

test('the counts of an instance that died do not bring a lifted lock back, also to one that comes later', () => {
  using cluster = new Cluster(3);
  cluster.fail(3, 12);
  cluster.pass();
  cluster.kill(3);
  cluster.pass();
  assert.equal(cluster.locked().length, 2);
  cluster.node(1).locks.lift({ user: 'alice' });
  cluster.pass();
  assert.deepEqual(cluster.locked(), []);
  cluster.add('edge-3');
  cluster.fail(3, 3);
  cluster.pass();
  assert.deepEqual(cluster.locked(), []);
  cluster.fail(3, 10);
  cluster.pass();
  assert.equal(cluster.locked().length, 3, 'its failures count where the lift is known');
});

test('an instance that has forgotten a lift among many counts goes on from that of the others', () => {
  using cluster = new Cluster(2);
  cluster.node(1).locks.lift({ user: 'alice', network: '192.0.2.1' });
  cluster.pass();
  for (let i = 0; i < 6000; i++) cluster.fail(2, 1, `user-${i}`, '10.0.0.1');
  cluster.fail(2, 12);
  cluster.pass();
  assert.equal(cluster.locked().length, 2);
});

test('an instance that misses the event of a lift hears it again', () => {
  using cluster = new Cluster(2);
  cluster.fail(1, 12);
  cluster.pass();
  cluster.node(1).locks.lift({ user: 'alice' });
  cluster.node(2).side = 1;
  cluster.pass(1);
  cluster.node(2).side = 0;
  cluster.pass(1);
  assert.deepEqual(cluster.locked(), []);
});

test('a lift counts whatever the clocks: also after one of a node whose clock is ahead', () => {
  using cluster = new Cluster(2);
  cluster.node(1).skew = 10 * MINUTE;
  for (const by of [1, 2, 1, 2]) {
    cluster.fail(1, 12);
    cluster.fail(2, 12);
    cluster.pass();
    assert.equal(cluster.locked().length, 2);
    cluster.node(by).locks.lift({ user: 'alice' });
    cluster.pass();
    assert.deepEqual(cluster.locked(), []);
  }
});

test('an instance that is back within a second learns the locks all the same', () => {
  using cluster = new Cluster(2);
  cluster.fail(1, 12);
  cluster.pass();
  cluster.kill(2);
  cluster.add('edge-2');
  cluster.pass(2);
  assert.equal(cluster.locked().length, 2);
});

test('a list has an end, and says how much it leaves out', () => {
  using cluster = new Cluster(1);
  for (let i = 0; i < 600; i++) cluster.fail(1, 10, `user-${i}`, `10.${i >> 8}.${i & 255}.1`);
  const { locks, more } = cluster.node(1).locks.list({});
  assert.deepEqual([locks.length, more], [500, 100]);
});
