import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReplicatedMap, Updater } from '#cluster/replicated/map.ts';
import { asPair, type ClaimRecord, leaseKey, pairKey } from '#services/router/copies/claims.ts';
import { LeaseWatch } from '#services/router/copies/lease-watch.ts';
import type { OwnLease } from '#services/router/copies/own-lease.ts';
import { Pairs, type PairsDeps } from '#services/router/copies/pairs.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

const OWN = 'OWNER';
const HOLDER = 'HOLDER';
const KEY = pairKey(OWN, HOLDER);
const AFTER = 1000;

/** The map as one node sees it: what others did arrives before a change is made, as in the real one. */
class FakeMap {
  readonly state = 'following';
  readonly records = new Map<string, { version: number; value: ClaimRecord }>();
  /** News that have not arrived yet. */
  onTheWay: (() => void) | undefined;
  /** The answer to the next change gets lost. */
  answerLost = false;

  put(key: string, value: ClaimRecord): void {
    this.records.set(key, { version: (this.records.get(key)?.version ?? 0) + 1, value });
  }

  get(key: string) {
    const record = this.records.get(key);
    return record && { key, ...record };
  }

  entries() {
    return [...this.records].map(([key, record]) => ({ key, ...record }));
  }

  async update(key: string, fn: Updater<ClaimRecord>) {
    this.onTheWay?.();
    const before = this.records.get(key)?.value;
    const value = fn(before, key);
    if (value !== before && value !== undefined) this.put(key, value);
    if (this.answerLost) {
      this.answerLost = false;
      throw new SealpostError('no-quorum', 'it is not known');
    }
    return { value, version: 1, revision: 1 };
  }

  beat(state: 'serving' | 'stopped' = 'serving'): void {
    this.put(leaseKey(HOLDER), { ...{ kind: 'lease', node: 'edge-2', beat: 1, after: AFTER }, state });
  }
}

function setUp() {
  const map = new FakeMap();
  const clock = { now: 0 };
  const typed = map as unknown as ReplicatedMap<ClaimRecord>;
  const watch = new LeaseWatch(typed, OWN, () => clock.now);
  const voided: number[] = [];
  const calls: { answer: (error?: Error) => void }[] = [];
  const pairs = new Pairs({
    ...{ settings: settingsFor('/nowhere'), log: silentLogger, own: OWN, map: typed, watch },
    lease: { held: true } as OwnLease,
    router: {
      'copy-mirror': () =>
        new Promise((resolve, reject) => {
          calls.push({ answer: (error) => (error === undefined ? resolve({}) : reject(error)) });
        }),
    } as unknown as PairsDeps['router'],
    onVoid: (_, generation) => voided.push(generation),
  });
  const look = async (): Promise<void> => {
    watch.look();
    await pairs.tick(true);
  };
  const pair = () => asPair(map.records.get(KEY)?.value);
  map.beat();
  return { map, clock, pairs, look, pair, voided, calls };
}

test('a holder whose renewals have not arrived yet is not given up: this process stood still, not that one', async () => {
  const { map, clock, look, pair, voided } = setUp();
  await look();
  assert.equal(pair()?.state, 'open');
  clock.now = 10 * AFTER;
  map.onTheWay = () => map.beat();
  await look();
  assert.deepEqual([pair()?.state, pair()?.generation, voided], ['open', 1, []]);
});

test('a silent holder is given up, and its copies are void, also when the answer to that gets lost', async () => {
  for (const answerLost of [false, true]) {
    const { map, clock, pairs, look, pair, voided } = setUp();
    await look();
    clock.now = 2 * AFTER;
    map.answerLost = answerLost;
    await look();
    assert.deepEqual([pair()?.state, pair()?.generation, voided], ['closed', 2, [1]], `lost: ${answerLost}`);
    assert.equal(pairs.choose(), undefined);
  }
});

test('news for a holder that is away after a restart are kept for it', async () => {
  const { map, pairs, look } = setUp();
  map.put(KEY, { kind: 'pair', generation: 3, state: 'open', adopted: false, dropped: false });
  map.beat('stopped');
  await look();
  assert.equal(pairs.choose(), undefined);
  assert.ok(pairs.outbox({ store: HOLDER, node: 'edge-2', generation: 3 }));
});

test('a disk that was gone and comes back is a holder again', async () => {
  const { map, pairs, look, pair, calls } = setUp();
  await look();
  const copy = pairs.choose()?.copy('ID', [{ key: 'k', value: Buffer.alloc(1) }], true);
  calls[0]?.answer(new SealpostError('other-store', 'the disk is another one'));
  await assert.rejects(copy ?? Promise.resolve());
  await look();
  await look();
  assert.equal(pair()?.state, 'closed');
  map.beat();
  await look();
  assert.equal(pair()?.state, 'open');
  assert.ok(pairs.choose());
});

test('a holder that took over as its disk was found to be another one is a holder again when that is over', async () => {
  const { map, pairs, look, pair, calls } = setUp();
  await look();
  pairs
    .choose()
    ?.drop('ID')
    .catch(() => undefined);
  map.put(KEY, { kind: 'pair', generation: 1, state: 'claimed', adopted: true, dropped: false });
  calls[0]?.answer(new SealpostError('other-store', 'the disk is another one'));
  await new Promise((resolve) => setImmediate(resolve));
  await look();
  map.put(KEY, { kind: 'pair', generation: 1, state: 'claimed', adopted: true, dropped: true });
  map.beat();
  await look();
  assert.deepEqual([pair()?.state, pair()?.generation], ['open', 2]);
  assert.ok(pairs.choose());
});
