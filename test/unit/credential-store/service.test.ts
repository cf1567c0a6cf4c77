import assert from 'node:assert/strict';
import { createHash, createPublicKey, sign, verify } from 'node:crypto';
import { readdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { unwrapKey } from '#shared/dkim/key-wrap.ts';
import { describeNek, generateNek, parseNek } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { findTraces, keyTraces } from '#test/kit/dkim/key-traces.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { activeKey, ed25519, fails, NEK, reaches, startNode } from './fixture.ts';

/** The service as a whole: its start, its NEKs, what it makes, and what it keeps. */

test('without a NEK it runs, lists, and says how to get one when a key is asked for', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path, { nek: null });
  assert.deepEqual(await node.calls['key-list']({}), { node: 'edge-1', keys: [] });
  await assert.rejects(node.calls['key-create'](ed25519('s1')), fails('no-nek', /keys nek/));
});

const BAD_NEKS: [string, string, RegExp][] = [
  ['is empty', '', /nek\.key is empty/],
  ['is not a NEK', 'hello', /nek\.key: .*not a NEK/],
  ['is too short', 'sealpost-nek:edge:AAAA', /nek\.key: .*NEK edge has 3 bytes/],
];
for (const [what, nek, message] of BAD_NEKS) {
  test(`it does not start when the NEK file ${what}`, async () => {
    await using data = await tempDir();
    await assert.rejects(startNode(data.path, { nek }), message);
  });
}

test('another NEK than the keys have is refused at the start, both named; the old one finds its keys again', async () => {
  await using data = await tempDir();
  const other = generateNek('edge');
  {
    await using node = await startNode(data.path);
    await node.calls['key-create'](ed25519('s1'));
  }
  const names = [describeNek(parseNek(NEK)), describeNek(parseNek(other))];
  await assert.rejects(startNode(data.path, { nek: other }), fails('nek-mismatch', ...names));
  await using node = await startNode(data.path);
  assert.equal((await node.calls['key-list']({})).keys.length, 1);
  // The file changes while the store runs: no second NEK comes in beside the first.
  await writeFile(node.nekFile, other);
  await assert.rejects(node.calls['key-create'](ed25519('s2')), fails('nek-mismatch', ...names));
});

test('a NEK file that goes away later stops new keys only', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  await activeKey(node, 's1');
  await writeFile(node.nekFile, 'gone');
  await assert.rejects(node.calls['key-create'](ed25519('s2')), fails('no-nek', /nek\.key: .*not a NEK/));
  assert.equal((await node.calls['key-list']({})).keys.length, 1);
  assert.deepEqual((await node.calls['key-verify']({ domain: 'example.com', selector: 's1' })).unproven, []);
});

for (const algorithm of ['rsa-2048', 'rsa-1024', 'ed25519'] as const) {
  test(`a new ${algorithm} key: what DNS gets verifies what the wrapped key signs`, async () => {
    await using data = await tempDir();
    await using node = await startNode(data.path);
    const made = await node.calls['key-create']({
      domain: 'Bücher.example',
      selector: 'S1',
      algorithm,
      allowWeak: true,
    });
    assert.equal(made.domain, 'xn--bcher-kva.example');
    assert.equal(made.selector, 's1');
    assert.equal(made.record, 's1._domainkey.xn--bcher-kva.example');
    const p = Buffer.from(made.publicKey, 'base64');
    const digest = createHash('sha256').update(p).digest('hex').toUpperCase();
    assert.equal(made.fingerprint, digest.replace(/(..)(?=.)/g, '$1:'));
    assert.equal('wrapped' in made, false);

    const { keys } = await node.calls['signing-key-list']({});
    assert.equal(keys.length, 1);
    const [wrapped] = keys;
    assert.ok(wrapped);
    const privateKey = unwrapKey(parseNek(NEK), wrapped, wrapped.wrapped);
    const publicKey =
      algorithm === 'ed25519'
        ? createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: p.toString('base64url') }, format: 'jwk' })
        : createPublicKey({ key: p, format: 'der', type: 'spki' });
    if (algorithm !== 'ed25519') {
      assert.equal(publicKey.asymmetricKeyDetails?.modulusLength, Number(algorithm.slice(4)));
    }
    const hash = algorithm === 'ed25519' ? null : 'sha256';
    assert.equal(verify(hash, Buffer.from('x'), publicKey, sign(hash, Buffer.from('x'), privateKey)), true);
  });
}

test('a 1024-bit key is refused unless it is wanted, and then warned about', async () => {
  await using data = await tempDir();
  const { log, lines } = logLines();
  await using node = await startNode(data.path, { log });
  const weak = { domain: 'example.com', selector: 's1', algorithm: 'rsa-1024' as const };
  await assert.rejects(node.calls['key-create'](weak), fails('weak-key', /rsa-2048/));
  await node.calls['key-create']({ ...weak, allowWeak: true });
  assert.equal(lines().filter((l) => l.level === 'warn' && /the key is weak/.test(l.msg)).length, 1);
});

test('a name is used once, also when two ask for it at the same time', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const results = await Promise.allSettled([
    node.calls['key-create'](ed25519('s1')),
    node.calls['key-create'](ed25519('S1', 'EXAMPLE.com.')),
  ]);
  assert.deepEqual(results.map((r) => r.status).sort(), ['fulfilled', 'rejected']);
  await assert.rejects(node.calls['key-create'](ed25519('s1')), fails('exists', /selector s1 /));
  await assert.rejects(node.calls['key-create'](ed25519('s_1')), fails('invalid-name', /s_1/));
  assert.equal((await node.calls['key-list']({})).keys.length, 1);
});

test('keys are listed in order and got under any spelling of their name; a restart finds them; revisions only rise', async () => {
  await using data = await tempDir();
  let revision = 0;
  {
    await using node = await startNode(data.path);
    for (const [domain, selector] of [
      ['b.example', 's1'],
      ['a.example', 's2'],
      ['a.example', 's1'],
    ] as const) {
      await activeKey(node, selector, domain);
    }
    const rising = node.revisions.every((r, i) => i === 0 || r > (node.revisions[i - 1] ?? 0));
    assert.ok(node.revisions.length >= 3 && rising, node.revisions.join());
    revision = (await node.calls['signing-key-list']({})).revision;
    assert.equal(revision, node.revisions.at(-1));
  }
  await using node = await startNode(data.path);
  assert.ok((await node.calls['signing-key-list']({})).revision >= revision);
  const { keys } = await node.calls['key-list']({});
  assert.deepEqual(
    keys.map((k) => `${k.selector} ${k.domain} ${k.state}`),
    ['s1 a.example active', 's2 a.example active', 's1 b.example active'],
  );
  assert.equal((await node.calls['key-list']({ domain: 'B.EXAMPLE' })).keys.length, 1);
  assert.equal((await node.calls['key-list']({ domain: 'example' })).keys.length, 0);
  assert.equal((await node.calls['key-show']({ domain: 'B.EXAMPLE.', selector: 'S1' })).domain, 'b.example');
  await assert.rejects(node.calls['key-show']({ domain: 'b.example', selector: 's2' }), fails('not-found', /s2/));
});

test('keys come in pages: what signers hold by 200, what people see by 100', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  for (let i = 0; i < 201; i++) {
    const domain = `d${Math.floor(i / 40)}.example`;
    await node.calls['key-create']({ ...ed25519(`s${i}`, domain), activate: false });
  }
  const first = await node.calls['signing-key-list']({});
  assert.equal(first.keys.length, 200);
  assert.ok(first.next !== undefined);
  const second = await node.calls['signing-key-list']({ after: first.next });
  assert.equal(second.next, undefined);
  assert.equal(new Set([...first.keys, ...second.keys].map((k) => k.selector)).size, 201);

  const seen: string[] = [];
  let after: string | undefined;
  do {
    const page = await node.calls['key-list'](after === undefined ? {} : { after });
    assert.ok(page.keys.length <= 100);
    seen.push(...page.keys.map((k) => k.selector));
    after = page.next;
  } while (after !== undefined);
  assert.deepEqual([seen.length, new Set(seen).size], [201, 201]);
  await assert.rejects(
    (async () => {
      for (let i = 0; ; i++) await node.calls['key-create']({ ...ed25519(`x${i}`, 'd0.example'), activate: false });
    })(),
    fails('exists', /40 is the maximum/),
  );
});

const DAMAGE: [string, (value: Buffer) => Buffer | string][] = [
  ['is cut off', (v) => v.subarray(0, v.length - 10)],
  ['is empty', () => ''],
  ['has one letter changed', (v) => v.toString().replace('"selector":"s2"', '"selector":"s3"')],
  ['has another public key', (v) => v.toString().replace(/"publicKey":"./, '"publicKey":"!')],
  ['lacks its digest', (v) => v.toString().replace(/"digest":"[^"]*",/, '')],
  ['is of a version to come', (v) => v.toString().replace('"version":1', '"version":2')],
];
for (const [what, change] of DAMAGE) {
  test(`a record that ${what} is reported and set aside; the other domains work`, async () => {
    await using data = await tempDir();
    {
      await using node = await startNode(data.path);
      await activeKey(node, 's1', 'a.example');
      await activeKey(node, 's2', 'b.example');
    }
    const folder = join(data.path, 'credentials');
    const record = 'map!record!domain!b.example';
    const level = await Store.open(folder, silentLogger);
    const value = Buffer.from(change((await level.get(record)) ?? Buffer.alloc(0)));
    await level.write([{ type: 'put', key: record, value }]);
    await level.close();

    const { log, lines } = logLines();
    {
      await using node = await startNode(data.path, { log });
      const errors = lines().filter((l) => l.level === 'error');
      assert.equal(errors.length, 1, JSON.stringify(errors));
      assert.equal(errors[0]?.['record'], 'domain!b.example');
      const { keys } = await node.calls['signing-key-list']({});
      assert.deepEqual(
        keys.map((k) => k.selector),
        ['s1'],
      );
      await activeKey(node, 's2', 'b.example');
    }
    const after = await Store.open(folder, silentLogger);
    assert.deepEqual(await after.get('map!corrupt!domain!b.example'), value);
    await after.close();
  });
}

test('keys of which nothing is left are told by a single node, and it does not begin without them', async () => {
  await using data = await tempDir();
  {
    await using node = await startNode(data.path);
    await activeKey(node, 's1');
  }
  const folder = join(data.path, 'credentials');
  for (const file of await readdir(folder)) {
    const { size } = await stat(join(folder, file));
    if (file.endsWith('.log')) await writeFile(join(folder, file), Buffer.alloc(size, 0xff));
  }
  await assert.rejects(startNode(data.path), fails('store-damaged', /restore .*credentials from a backup.*move/));
  await rename(folder, join(data.path, 'away'));
  await using node = await startNode(data.path);
  assert.equal((await node.calls['status-show']({})).damage, undefined);
});

test('a record of a newer Sealpost is left as it is, and nothing is changed beside it', async () => {
  await using data = await tempDir();
  {
    await using node = await startNode(data.path);
    await activeKey(node, 's1');
  }
  const level = await Store.open(join(data.path, 'credentials'), silentLogger);
  const record = 'map!record!domain!example.com';
  const { record: stored } = JSON.parse((await level.get(record))?.toString() ?? '');
  stored.value.keys[0].state = 'sleeping';
  delete stored.macs;
  const json = JSON.stringify(stored);
  const digest = createHash('sha256').update(json).digest('hex');
  const value = Buffer.from(`{"version":1,"digest":"${digest}","record":${json}}`);
  await level.write([{ type: 'put', key: record, value }]);
  await level.close();
  {
    await using node = await startNode(data.path);
    await assert.rejects(
      node.calls['key-create'](ed25519('s2')),
      fails('unreadable-record', 'example.com', /newer Sealpost/),
    );
    await activeKey(node, 's1', 'a.example');
    assert.deepEqual((await node.calls['status-show']({})).unreadable, ['example.com']);
  }
  const after = await Store.open(join(data.path, 'credentials'), silentLogger);
  assert.deepEqual(await after.get(record), value);
  await after.close();
});

test('a record of a kind that a newer Sealpost has is kept, and stops nothing', async () => {
  await using data = await tempDir();
  {
    await using node = await startNode(data.path);
    await activeKey(node, 's1');
  }
  const level = await Store.open(join(data.path, 'credentials'), silentLogger);
  const envelope = { schema: 1, key: 'passkey!mx', version: 3, writeId: 'w', previous: [], node: 'edge-2' };
  const json = JSON.stringify({ ...envelope, time: new Date().toISOString(), value: { kind: 'passkey', more: [1] } });
  const digest = createHash('sha256').update(json).digest('hex');
  const value = Buffer.from(`{"version":1,"digest":"${digest}","record":${json}}`);
  await level.write([{ type: 'put', key: 'map!record!passkey!mx', value }]);
  await level.close();
  {
    await using node = await startNode(data.path);
    await activeKey(node, 's2', 'a.example');
    assert.deepEqual((await node.calls['tls-record-list']({})).names, []);
    const { unreadable, damage } = await node.calls['status-show']({});
    assert.deepEqual([unreadable, damage], [['passkey!mx'], undefined]);
  }
  const after = await Store.open(join(data.path, 'credentials'), silentLogger);
  assert.deepEqual(await after.get('map!record!passkey!mx'), value);
  await after.close();
});

test('a key whose write failed is neither listed nor found after a restart, and its name is free again', async (t) => {
  await using data = await tempDir();
  {
    await using node = await startNode(data.path);
    await activeKey(node, 's0', 'a.example');
    const told = node.revisions.length;
    const write = Store.prototype.write;
    // The disk fails after the first write: LevelDB may have it all the same.
    let writes = 0;
    t.mock.method(Store.prototype, 'write', async function (this: Store, operations: StoreOperation[]) {
      await write.call(this, operations);
      if (++writes === 1) throw new SealpostError('store-failed', 'disk full');
    });
    await assert.rejects(node.calls['key-create'](ed25519('s1')), fails('store-failed', /disk full/));
    assert.deepEqual((await node.calls['key-list']({ domain: 'example.com' })).keys, []);
    assert.equal(node.revisions.length, told);
  }
  await using node = await startNode(data.path);
  assert.deepEqual((await node.calls['key-list']({ domain: 'example.com' })).keys, []);
  await activeKey(node, 's1');
});

test('nothing that it answers, logs or stores has a private key or the NEK in clear', async () => {
  await using data = await tempDir();
  const { log, lines } = logLines();
  const replies: unknown[] = [];
  const traces: Buffer[] = [];
  {
    await using node = await startNode(data.path, { log });
    const { calls } = node;
    for (const algorithm of ['ed25519', 'rsa-2048'] as const) {
      const name = { domain: 'example.com', selector: algorithm };
      replies.push(await calls['key-create']({ ...name, algorithm }));
      await reaches(node, algorithm, 'active');
      const whole = await calls['key-export'](name);
      const privateKey = unwrapKey(parseNek(NEK), whole, whole.wrapped);
      traces.push(...keyTraces(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()));
      replies.push(whole, await calls['key-show'](name), await calls['key-verify'](name));
    }
    replies.push(await calls['rotation-start']({ domain: 'example.com' }));
    await waitFor(async () => (await calls['rotation-show']({ domain: 'example.com' })).state === 'done', {
      ...{ what: 'the rotation', timeout: 10_000 },
    });
    replies.push(
      await calls['key-list']({}),
      await calls['signing-key-list']({}),
      await calls['status-show']({}),
      await calls['nek-list']({}),
    );
    await assert.rejects(calls['key-create'](ed25519('ed25519')), (error) => replies.push(String(error)) > 0);
  }
  const base64 = NEK.trim().split(':')[2] ?? '';
  traces.push(Buffer.from(base64, 'base64'), Buffer.from(base64.slice(0, 40)));
  traces.push(Buffer.from(Buffer.from(base64, 'base64').toString('hex')));
  assert.ok(traces.length > 20);
  const said = Buffer.from(JSON.stringify([replies, lines()]));
  assert.ok(lines().length > 5);
  assert.deepEqual(
    traces.filter((trace) => said.includes(trace)),
    [],
  );
  const { files, found } = await findTraces([join(data.path, 'credentials')], traces);
  assert.ok(files > 2);
  assert.deepEqual(found, []);
});
