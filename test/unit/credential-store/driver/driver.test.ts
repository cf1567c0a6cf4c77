import assert from 'node:assert/strict';
import { test } from 'node:test';
import { revokeKey } from '#services/credential-store/life/life-cycle.ts';
import { resumeDomain } from '#services/credential-store/life/rotation.ts';
import { claim } from '#services/credential-store/life/transitions.ts';
import type { DomainRecord } from '#services/credential-store/records/domain-record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import { AT, keyIn, recordWith, rotationOf, statesOf } from '#test/unit/credential-store/records/fixture.ts';
import { DriverBench, started, viewOf } from './fixture.ts';

const never = <T>(): Promise<T> => new Promise(() => undefined);

test('a new key is led to signing, each transition confirmed by every node and logged once', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('created')])]));
  await bench.run(500);
  assert.equal(bench.key('s1')?.state, 'active');
  const nodes = ['edge-1', 'edge-2', 'edge-3'];
  const proofs = nodes.map((node) => `prove ${node} s1`);
  const looks = nodes.map((node) => `look ${node} key s1`);
  assert.deepEqual(bench.calls, [...proofs, 'publish s1', ...looks, ...proofs, ...looks, ...proofs]);
  assert.deepEqual(bench.lines, ['this node drives the keys of the domain', ...Array(4).fill('key advanced')]);
  assert.deepEqual(bench.records.get('example.com')?.driver, { node: 'edge-1', term: 1 });
});

test('a key of a domain in no DNS is neither published nor looked for', async (t) => {
  const key = keyIn('created', 's1', { publication: { by: 'none' } });
  const bench = await started(
    t,
    new DriverBench([recordWith([key, keyIn('retired', 's2', { publication: { by: 'none' } })])]),
  );
  await bench.run(60_000);
  assert.equal(bench.key('s1')?.state, 'active');
  assert.equal(bench.key('s2'), undefined);
  assert.equal(bench.count('prove'), bench.calls.length);
});

test('why a key waits is recorded once, again when it changes, and removed when the key advances', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('published')])]));
  let view: DnsView = viewOf('missing');
  bench.effects.look = async () => view;
  await bench.run(1000);
  assert.equal(bench.key('s1')?.problem, undefined, 'a moment is not worth a word');
  await bench.run(59_000);
  assert.equal(bench.key('s1')?.problem?.text, 'node edge-1: ns1 has no record');
  const { revision } = bench;
  // After 0.5 s, 1 s, 2 s … 30 s; its record is written again each time.
  assert.equal(bench.count('publish'), 7);
  await bench.run(300_000);
  assert.equal(bench.revision, revision);
  assert.equal(bench.count('publish'), 17);
  view = viewOf('missing', 'ns2 has no record');
  await bench.run(30_000);
  assert.equal(bench.revision, revision + 1);
  assert.equal(bench.lines.filter((l) => l === 'key is stuck').length, 2);
  view = viewOf('ok');
  await bench.run(31_000);
  assert.deepEqual([bench.key('s1')?.state, bench.key('s1')?.problem], ['active', undefined]);
});

test('a change by another writer is a reason to try again immediately', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('published')])]));
  bench.effects.look = async () => viewOf('missing');
  await bench.run(100_000);
  const tries = bench.count('publish');
  await bench.run(1000);
  assert.equal(bench.count('publish'), tries);
  const record = bench.records.get('example.com');
  if (record === undefined) throw new Error('no record');
  bench.write({ ...record, keys: [...record.keys, keyIn('proven', 's2', { activate: false })] });
  await bench.run(100);
  assert.equal(bench.count('publish'), tries + 1);
});

test('a refused update needs a person, is asked again every 10 minutes, and immediately by resume', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('replicated')])], 'edge-1', ['edge-1']));
  let refused = 0;
  const { publish, look } = bench.effects;
  bench.effects.look = async () => viewOf('missing');
  bench.effects.publish = async () => {
    refused++;
    throw new SealpostError('dns-refused', 'ns1 answers REFUSED: check the key');
  };
  await bench.run(599_000);
  const text = 'ns1 answers REFUSED: check the key';
  assert.deepEqual(bench.key('s1')?.problem, { text, since: bench.key('s1')?.problem?.since, permanent: true });
  assert.equal(refused, 1);
  const { revision } = bench;
  await bench.run(610_000);
  assert.deepEqual([refused, bench.revision], [3, revision]);
  Object.assign(bench.effects, { publish, look });
  const record = bench.records.get('example.com');
  if (record !== undefined) bench.write(resumeDomain(record, AT));
  await bench.run(100);
  assert.equal(bench.key('s1')?.state, 'active');
});

test('a name server that an administrator has mended lets keys come on without an order', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('replicated')])]));
  const { publish, look } = bench.effects;
  bench.effects.look = async () => viewOf('missing');
  bench.effects.publish = async () => {
    throw new SealpostError('dns-refused', 'ns1 does not know the key');
  };
  await bench.run(60_000);
  assert.equal(bench.key('s1')?.problem?.permanent, true);
  Object.assign(bench.effects, { publish, look });
  await bench.run(600_000);
  assert.deepEqual([bench.key('s1')?.state, bench.key('s1')?.problem], ['active', undefined]);
});

test('a compromised key is revoked as soon as its zone takes updates again, and the log complains until then', async (t) => {
  const record = recordWith([keyIn('active'), keyIn('active', 's2')]);
  const bench = await started(t, new DriverBench([record], 'edge-1', ['edge-1']));
  const { publishRevocation, look } = bench.effects;
  bench.effects.look = async () => viewOf('different');
  bench.effects.publishRevocation = async () => {
    throw new SealpostError('dns-failed', 'ns1 answers REFUSED: the zone is frozen');
  };
  bench.write(revokeKey(record, 's1', { ...AT, force: false }));
  const alarms = (): number => bench.lines.filter((l) => l.startsWith('a compromised key is still in DNS')).length;
  await bench.run(10_000);
  assert.deepEqual([bench.key('s1')?.state, alarms()], ['retired', 1]);
  await bench.run(3_600_000);
  assert.equal(bench.key('s1')?.state, 'retired');
  assert.ok(alarms() >= 5 && alarms() <= 7, `${alarms()} in an hour`);
  Object.assign(bench.effects, { publishRevocation, look });
  await bench.run(31_000);
  assert.deepEqual([bench.key('s1')?.state, bench.key('s1')?.compromised], ['revoked', true]);
});

test('a node that cannot change DNS leaves the domain to the others, one after the other', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('replicated')])]));
  bench.effects.look = async () => viewOf('missing');
  bench.effects.publish = async () => {
    throw new SealpostError('dns-failed', 'no connection: ENETUNREACH');
  };
  const driver = () => bench.records.get('example.com')?.driver;
  await bench.run(290_000);
  assert.deepEqual(driver(), { node: 'edge-1', term: 1 });
  await bench.run(60_000);
  assert.deepEqual(driver(), { node: 'edge-2', term: 2 });
  await bench.run(600_000);
  assert.deepEqual(driver(), { node: 'edge-2', term: 2 }, 'edge-1 does nothing while edge-2 lives');
  const record = bench.records.get('example.com');
  // Its turn comes again; where no other node lives, it goes on.
  bench.holders = bench.holders.filter((h) => h.node === 'edge-1');
  if (record !== undefined) bench.write(claim(record, 'edge-1'));
  await bench.run(900_000);
  assert.deepEqual(driver(), { node: 'edge-1', term: 4 });
});

test('a node that has another secret of the update key than the others leaves the domain to them', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('replicated')])]));
  bench.effects.look = async () => viewOf('missing');
  bench.effects.publish = async () => {
    throw new SealpostError('dns-refused', 'ns1 does not accept the signature (BADSIG)');
  };
  await bench.run(610_000);
  assert.deepEqual(bench.records.get('example.com')?.driver, { node: 'edge-2', term: 2 });
});

test('what somebody does by hand where updates fail is enough: publish, revoke, remove', async (t) => {
  const bench = await started(
    t,
    new DriverBench([recordWith([keyIn('replicated'), keyIn('retired', 's2')])], 'edge-1', ['edge-1']),
  );
  const fail = async (): Promise<void> => {
    throw new SealpostError('dns-refused', 'ns1 does not know the key');
  };
  let verdict: DnsView['verdict'] = 'different';
  const server = () => ({ server: 'ns1', host: 'ns1', verdict, detail: '' });
  Object.assign(bench.effects, { publish: fail, publishRevocation: fail, removeRecord: fail });
  bench.effects.look = async () => viewOf(verdict, 'ns1 has another', [server()]);
  await bench.run(60_000);
  assert.equal(statesOf(bench.records.get('example.com') ?? recordWith([])), 's1:replicated s2:retired');
  // Gone is as good as revoked, but no record is none that is published.
  verdict = 'missing';
  await bench.run(600_000);
  assert.deepEqual([bench.key('s1')?.state, bench.key('s2')?.state], ['replicated', 'revoked']);
  verdict = 'ok';
  await bench.run(1_200_000);
  assert.equal(statesOf(bench.records.get('example.com') ?? recordWith([])), 's1:active');
});

test('what is published by hand is looked for until it is there, revoked or gone', async (t) => {
  const manual = { publication: { by: 'manual' as const } };
  const bench = await started(t, new DriverBench([recordWith([keyIn('replicated', 's1', manual)])]));
  let seen: DnsView['verdict'] = 'missing';
  bench.effects.look = async () => viewOf(seen, 'ns1 has no record', [{ server: 'ns1', verdict: seen, detail: '' }]);
  await bench.run(600_000);
  assert.match(bench.key('s1')?.problem?.text ?? '', /^its record must be published by hand: ns1 has no record$/);
  seen = 'ok';
  await bench.run(30_000);
  assert.equal(bench.key('s1')?.state, 'active');
  bench.write(recordWith([keyIn('retired', 's1', manual)]));
  seen = 'different';
  await bench.run(60_000);
  assert.equal(bench.key('s1')?.state, 'retired');
  seen = 'missing';
  await bench.run(31_000);
  assert.equal(bench.key('s1')?.state, 'revoked', 'no verifier can use a record that is gone');
  assert.deepEqual(
    bench.calls.filter((c) => !c.startsWith('prove')),
    [],
  );
});

test('a live node that does not prove the key is named; when it is gone, no key waits for it', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('created')])]));
  bench.effects.prove = async (node) => {
    if (node === 'edge-3') throw new SealpostError('unusable', 'its NEK is missing');
  };
  await bench.run(10_000);
  assert.equal(bench.key('s1')?.problem?.text, 'node edge-3: its NEK is missing');
  bench.holders = bench.holders.filter((h) => h.node !== 'edge-3');
  await bench.run(10_000);
  assert.equal(bench.key('s1')?.state, 'active');
});

test('a name server that one node cannot reach holds no key while another node finds it right', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('published')])]));
  let seenByOthers: DnsView['verdict'] = 'missing';
  bench.effects.look = async (node) => {
    const verdict = node === 'edge-3' ? 'unreachable' : seenByOthers;
    return viewOf(verdict, `ns2 is ${verdict}`, [
      { server: 'ns1', host: 'ns1', verdict: 'ok', detail: '' },
      { server: 'ns2', host: 'ns2', verdict, detail: '' },
    ]);
  };
  await bench.run(60_000);
  assert.equal(bench.key('s1')?.problem?.text, 'node edge-1: ns2 is missing');
  seenByOthers = 'ok';
  await bench.run(31_000);
  assert.equal(bench.key('s1')?.state, 'active');
});

test('a node that dies while it is asked holds up nothing', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('created')])]));
  bench.effects.prove = async (node) => {
    if (node !== 'edge-3') return;
    bench.holders = bench.holders.filter((h) => h.node !== 'edge-3');
    throw new SealpostError('timeout', 'edge-3 does not answer');
  };
  await bench.run(400);
  assert.equal(bench.key('s1')?.state, 'active');
});

test('the switch waits for every signer, and continues the moment the last one has seen it', async (t) => {
  const record = recordWith([keyIn('active'), keyIn('active', 's2')], { rotation: rotationOf(['s1'], ['s2']) });
  const bench = new DriverBench([record]);
  const late = bench.holders.find((h) => h.node === 'edge-3' && h.kind === 'signer');
  if (late === undefined) throw new Error('no signer');
  late.behind = 'it has yet to catch up';
  Object.defineProperty(late, 'revision', { get: () => (late.behind === undefined ? 99 : 0), set: () => undefined });
  await started(t, bench);
  await bench.run(120_000);
  const rotation = bench.records.get('example.com')?.rotation;
  assert.equal(rotation?.switched, undefined);
  assert.equal(
    bench.key('s2')?.problem?.text,
    'the signer of node edge-3 has yet to apply the last changes: it has yet to catch up',
  );
  delete late.behind;
  bench.driver.wake();
  await bench.run(50);
  assert.equal(statesOf(bench.records.get('example.com') ?? recordWith([])), 's1:retiring s2:active');
  assert.equal(bench.key('s2')?.problem, undefined);
});

test('eight domains are driven concurrently, and none waits for ever for slow ones', async (t) => {
  const domains = Array.from({ length: 20 }, (_, i) => ({
    ...recordWith([keyIn('replicated')]),
    domain: `d${i}.example`,
  }));
  const bench = new DriverBench(domains);
  let [now, most] = [0, 0];
  bench.effects.publish = async () => {
    most = Math.max(most, ++now);
    await bench.time.sleep(10_000);
    now--;
  };
  await started(t, bench);
  await bench.run(31_000);
  assert.equal(most, 8);
  for (const { domain } of domains) assert.equal(bench.key('s1', domain)?.state, 'active');
});

test('closing gives up what is being done, and nothing is written after', { timeout: 5000 }, async () => {
  const bench = new DriverBench([recordWith([keyIn('replicated')])]);
  const publishing = Promise.withResolvers<void>();
  bench.effects.publish = () => publishing.promise;
  bench.driver.start();
  await bench.run(1000);
  await bench.driver.close();
  publishing.resolve();
  await bench.run(60_000);
  assert.equal(bench.key('s1')?.state, 'replicated');
});

test('a driver that was replaced while it worked writes nothing, and stops driving', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('replicated')])]));
  const publishing = Promise.withResolvers<void>();
  bench.effects.publish = () => publishing.promise;
  await bench.run(1000);
  const record = bench.records.get('example.com');
  if (record !== undefined) bench.write(claim(record, 'edge-2'));
  publishing.resolve();
  await bench.run(60_000);
  assert.equal(bench.key('s1')?.state, 'replicated');
  assert.deepEqual(bench.records.get('example.com')?.driver, { node: 'edge-2', term: 2 });
});

test('a domain is taken over when its driver is gone or cannot follow; nodes take turns at that', async (t) => {
  const driven: DomainRecord = recordWith([keyIn('replicated')], { driver: { node: 'edge-3', term: 4 } });
  const bench = await started(t, new DriverBench([driven], 'edge-2'));
  await bench.run(60_000);
  assert.equal(bench.key('s1')?.state, 'replicated', 'edge-3 lives');
  for (const holder of bench.holders) if (holder.node === 'edge-3') holder.behind = 'NATS is away';
  for (let waking = 0; waking < 5; waking++) {
    bench.driver.wake();
    await bench.run(50);
  }
  assert.equal(bench.records.get('example.com')?.driver?.term, 4, 'edge-1 may try first');
  await bench.run(2000);
  assert.deepEqual(bench.records.get('example.com')?.driver, { node: 'edge-2', term: 5 });
  assert.equal(bench.key('s1')?.state, 'active');
});

test('nothing is claimed where there is nothing to do, and nothing done while cut off', async (t) => {
  const idle = recordWith([keyIn('active'), keyIn('proven', 's2', { activate: false })]);
  const bench = await started(t, new DriverBench([idle, { ...recordWith([keyIn('created')]), domain: 'b.example' }]));
  bench.effects.live = () => undefined;
  await bench.run(60_000);
  assert.deepEqual([bench.records.get('example.com')?.driver, bench.calls], [undefined, []]);
  bench.effects.live = () => bench.holders;
  await bench.run(2000);
  assert.equal(bench.records.get('example.com')?.driver, undefined);
  assert.equal(bench.key('s1', 'b.example')?.state, 'active');
});

test('a record that cannot be written is tried again', async (t) => {
  const bench = new DriverBench([recordWith([keyIn('created')])]);
  const { update } = bench.effects.records;
  let failures = 0;
  bench.effects.records.update = async (domain, change) => {
    if (failures++ < 5) throw new SealpostError('no-quorum', 'no majority');
    return update(domain, change);
  };
  await started(t, bench);
  await bench.run(30_000);
  assert.equal(bench.key('s1')?.state, 'active');
});

test('what is confirmed of a key does not count when it left its state and came back', async (t) => {
  const bench = await started(t, new DriverBench([recordWith([keyIn('published'), keyIn('active', 's2')])]));
  let looks = 0;
  const first = Promise.withResolvers<DnsView>();
  bench.effects.look = () => (looks++ < 3 ? first.promise : never());
  await bench.run(1000);
  const record = bench.records.get('example.com');
  bench.write({
    ...record,
    ...recordWith([keyIn('published', 's1', { fingerprint: 'another' }), keyIn('active', 's2')]),
  });
  first.resolve(viewOf('ok'));
  await bench.run(5000);
  assert.equal(bench.key('s1')?.state, 'published');
});
