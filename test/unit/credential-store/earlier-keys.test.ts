import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { EarlierKeys } from '#services/credential-store/earlier-keys.ts';
import { describeNek, parseNek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import type { SigningKey } from '#shared/keys/key.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { domainOf, MemoryRecords, nekOf } from '#test/unit/credential-store/neks/fixture.ts';
import { earlierKey, earlierRecord, earlierRecords, recordOf, writeEarlierStore } from './earlier-fixture.ts';
import { activeKey, fails, NEK, reaches, type StoreNode, startNode } from './fixture.ts';

const nek = parseNek(NEK);
const write = (data: string, keys: SigningKey[]) =>
  writeEarlierStore(data, new Map(keys.map((key) => [recordOf(key), earlierRecord(key)])));
const listed = async ({ calls }: StoreNode): Promise<string[]> =>
  (await calls['key-list']({})).keys.map((k) => `${k.selector} ${k.domain} ${k.state} ${k.fingerprint}`);

test('keys of an earlier version sign on as they did, and live on as keys of this one', async () => {
  await using data = await tempDir();
  const keys = [
    await earlierKey(nek, 'a.example', 's1'),
    await earlierKey(nek, 'example.com', 's1', 'rsa-2048'),
    await earlierKey(nek, 'example.com', 's2'),
    await earlierKey(nek, 'manual.test', 's1'),
  ];
  await write(data.path, keys);
  const expected = keys.map((k) => `${k.selector} ${k.domain} active ${k.fingerprint}`);
  {
    await using node = await startNode(data.path);
    assert.deepEqual(await listed(node), expected);
    const { calls } = node;
    assert.deepEqual((await calls['signing-key-list']({})).keys, keys);
    for (const key of keys) assert.deepEqual((await calls['key-verify'](key)).unproven, []);
    const status = await calls['key-show']({ domain: 'manual.test', selector: 's1' });
    assert.deepEqual([status.publish, status.created, status.nek], ['manual', keys[0]?.created, 'edge']);
    assert.equal((await calls['key-show']({ domain: 'a.example', selector: 's1' })).publish, 'none');
  }
  assert.deepEqual(await earlierRecords(data.path), new Map());
  await using node = await startNode(data.path);
  assert.deepEqual(await listed(node), expected);
  await node.calls['rotation-start']({ domain: 'a.example', to: ['s2'] });
  await reaches(node, 's2', 'active', 'a.example');
  await reaches(node, 's1', 'retiring', 'a.example');
});

test('more keys than a domain may have now are all taken over', async () => {
  await using data = await tempDir();
  const keys = await Promise.all(Array.from({ length: 45 }, (_, i) => earlierKey(nek, 'example.com', `s${100 + i}`)));
  await write(data.path, keys);
  await using node = await startNode(data.path);
  assert.deepEqual((await listed(node)).length, keys.length);
  assert.deepEqual((await node.calls['signing-key-list']({})).keys, keys);
});

test('another NEK than they have is refused before anything is changed', async () => {
  await using data = await tempDir();
  const other = nekOf('other');
  const keys = [await earlierKey(other, 'example.com', 's1')];
  await write(data.path, keys);
  const before = await earlierRecords(data.path);
  await assert.rejects(startNode(data.path), fails('nek-mismatch', describeNek(other), describeNek(nek)));
  assert.deepEqual(await earlierRecords(data.path), before);
  // Without any it runs, and the key waits for its NEK.
  await using node = await startNode(data.path, { nek: null });
  assert.equal((await listed(node)).length, 1);
});

test('the record of a key stands in DNS though the configuration does not say how: it is taken for published by hand', async () => {
  await using data = await tempDir();
  await write(data.path, [await earlierKey(nek, 'example.com', 's1')]);
  const { log, lines } = logLines();
  const domains = [{ name: 'example.com', keys: { publish: 'update' } }];
  await using node = await startNode(data.path, { log, config: { domains, dns: { servers: ['127.0.0.1:9'] } } });
  const key = await node.calls['key-show']({ domain: 'example.com', selector: 's1' });
  assert.deepEqual([key.state, key.publish], ['active', 'manual']);
  assert.equal(lines().filter((l) => l.level === 'warn' && /published by hand/.test(l.msg)).length, 1);
});

const DAMAGE: [string, (key: SigningKey) => Buffer][] = [
  ['is cut off', (key) => earlierRecord(key, (text) => text.slice(0, -10))],
  ['is empty', () => Buffer.alloc(0)],
  ['has another public key', (key) => earlierRecord(key, (text) => text.replace(/"publicKey":"./, '"publicKey":"!'))],
  ['lacks its digest', (key) => earlierRecord(key, (text) => text.replace(/,"digest".*$/, '}'))],
  ['is about another key', (key) => earlierRecord({ ...key, selector: 's3' })],
  ['has a state of a later version', (key) => earlierRecord({ ...key, state: 'retiring' })],
  ['has no private key', ({ wrapped, ...key }) => earlierRecord(key)],
];
for (const [what, damaged] of DAMAGE) {
  test(`an earlier record that ${what} is reported and stays; the others are taken over`, async () => {
    await using data = await tempDir();
    const [good, bad] = [await earlierKey(nek, 'example.com', 's1'), await earlierKey(nek, 'example.com', 's2')];
    const value = damaged(bad);
    await writeEarlierStore(
      data.path,
      new Map([
        [recordOf(good), earlierRecord(good)],
        [recordOf(bad), value],
      ]),
    );
    const { log, lines } = logLines();
    {
      await using node = await startNode(data.path, { log });
      assert.deepEqual(await listed(node), [`s1 example.com active ${good.fingerprint}`]);
      const errors = lines().filter((l) => l.level === 'error');
      assert.deepEqual(
        errors.map((l) => l['record']),
        [recordOf(bad)],
      );
      // It does no harm.
      await activeKey(node, 's3');
    }
    assert.deepEqual(await earlierRecords(data.path), new Map([[recordOf(bad), value]]));
  });
}

test('a key that the cluster has is not added again; of two different ones the cluster keeps its own, and says so', async () => {
  await using data = await tempDir();
  const key = await earlierKey(nek, 'example.com', 's1');
  await write(data.path, [key]);
  await (await startNode(data.path))[Symbol.asyncDispose]();
  // Killed before the old record was deleted.
  await write(data.path, [key]);
  {
    await using node = await startNode(data.path);
    assert.deepEqual(await listed(node), [`s1 example.com active ${key.fingerprint}`]);
  }
  assert.deepEqual(await earlierRecords(data.path), new Map());

  const other = await earlierKey(nek, 'example.com', 's1');
  await write(data.path, [other]);
  const { log, lines } = logLines();
  {
    await using node = await startNode(data.path, { log });
    assert.deepEqual(await listed(node), [`s1 example.com active ${key.fingerprint}`]);
    const [error, ...more] = lines().filter((l) => l.level === 'error');
    assert.deepEqual([error?.['fingerprint'], error?.['cluster'], more], [other.fingerprint, key.fingerprint, []]);
    assert.match(error?.msg ?? '', /keys verify example\.com s1.*keys rotate example\.com/);
    await activeKey(node, 's2');
  }
  assert.deepEqual([...(await earlierRecords(data.path)).keys()], [recordOf(other)]);
});

/** EarlierKeys alone, over a LevelDB with these keys. */
async function open(data: string, keys: SigningKey[]) {
  await write(data, keys);
  const store = await Store.open(join(data, 'credentials'), silentLogger);
  const { log, lines } = logLines();
  const settings = new Settings(ConfigSchema.parse({ node: { data } }));
  const earlier = await EarlierKeys.read({ store, settings, log });
  const records = new MemoryRecords();
  const errors = (): string[] => lines().flatMap((l) => (l.level === 'error' ? [l.msg] : []));
  return { earlier, records, errors, store, [Symbol.asyncDispose]: () => store.close() };
}

test('without a majority nothing is lost and nothing else may be changed; then they are taken over', async () => {
  await using data = await tempDir();
  const keys = [await earlierKey(nek, 'a.example', 's1'), await earlierKey(nek, 'example.com', 's1')];
  await using state = await open(data.path, keys);
  const { earlier, records, errors } = state;
  records.writesLeft = 1;
  await Promise.all([earlier.takeOver(records), earlier.takeOver(records)]);
  assert.equal(records.all().length, 1);
  assert.deepEqual(
    earlier.left(records).map((r) => [r.domain, r.keys.length]),
    [['example.com', 1]],
  );
  assert.throws(() => earlier.assertTried(), fails('store-failed', /^1 keys/));
  assert.deepEqual(errors(), []);
  records.writesLeft = 1;
  await earlier.takeOver(records);
  assert.deepEqual(
    records.all().map((r) => r.domain),
    ['a.example', 'example.com'],
  );
  assert.deepEqual(earlier.left(records), []);
  earlier.assertTried();
  await earlier.takeOver(records);
  assert.equal(records.writes, 2);
});

test('another node that is faster with a key of the same name is not overwritten; other keys of the domain stay', async () => {
  await using data = await tempDir();
  const mine = [await earlierKey(nek, 'example.com', 's1'), await earlierKey(nek, 'example.com', 's2')];
  const { wrapped, domain, ...theirs } = await earlierKey(nek, 'example.com', 's1');
  await using state = await open(data.path, mine);
  const { earlier, records, errors } = state;
  const record = { ...theirs, since: 0, activate: true, signed: true, publication: { by: 'none' as const }, ttl: 60 };
  records.rival = () => records.putDomain(domainOf(domain, record));
  await earlier.takeOver(records);
  assert.deepEqual(
    records.get(domain)?.keys.map((k) => k.fingerprint),
    [theirs.fingerprint, mine[1]?.fingerprint],
  );
  assert.equal(errors().length, 1);
});

test('a selector whose key was deleted since is not used again', async () => {
  await using data = await tempDir();
  const keys = [await earlierKey(nek, 'example.com', 's1'), await earlierKey(nek, 'example.com', 's2')];
  await using state = await open(data.path, keys);
  const { earlier, records, errors } = state;
  const used = keys.map(({ selector, fingerprint }, i) => ({
    selector,
    fingerprint: i === 0 ? fingerprint : 'X',
    deleted: 0,
  }));
  records.putDomain({ ...domainOf('example.com'), used });
  await earlier.takeOver(records);
  assert.deepEqual(records.get('example.com')?.keys, []);
  assert.equal(errors().length, 1);
  await state.store.close();
  assert.deepEqual([...(await earlierRecords(data.path)).keys()], ['key!example.com!s2']);
});

test('a key that cannot be taken over for another reason is reported once, continues to sign and holds up no other', async () => {
  await using data = await tempDir();
  const keys = [await earlierKey(nek, 'a.example', 's1'), await earlierKey(nek, 'example.com', 's1')];
  await using state = await open(data.path, keys);
  const { earlier, records, errors } = state;
  const update = records.update.bind(records);
  const picky: Pick<MemoryRecords, 'update'> = {
    update: (domain, change) =>
      domain === 'a.example' ? Promise.reject(new SealpostError('too-large', 'too large')) : update(domain, change),
  };
  await earlier.takeOver(picky);
  await earlier.takeOver(picky);
  assert.equal(errors().length, 1);
  earlier.assertTried();
  assert.deepEqual(
    earlier.left(records).map((r) => r.domain),
    ['a.example'],
  );
  await earlier.takeOver(records);
  assert.deepEqual(earlier.left(records), []);
});

test('a disk that takes no deletion leaves the key as it is, twice nowhere', async (t) => {
  await using data = await tempDir();
  await using state = await open(data.path, [await earlierKey(nek, 'example.com', 's1')]);
  const { earlier, records } = state;
  const mock = t.mock.method(Store.prototype, 'write', async (_: StoreOperation[]) => {
    throw new SealpostError('store-failed', 'disk full');
  });
  await earlier.takeOver(records);
  assert.deepEqual(earlier.left(records), []);
  mock.mock.restore();
  await earlier.takeOver(records);
  assert.equal(records.get('example.com')?.keys.length, 1);
  await state.store.close();
  assert.deepEqual(await earlierRecords(data.path), new Map());
});
