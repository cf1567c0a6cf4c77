import assert from 'node:assert/strict';
import { createHash, createPublicKey, sign, verify } from 'node:crypto';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { announcer, client, listen, serve } from '#cluster/actor.ts';
import { ConfigSchema } from '#cluster/config/schema.ts';
import { LocalBus } from '#cluster/local-bus.ts';
import { Settings } from '#cluster/settings.ts';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { generateNek, parseNek } from '#services/credential-store/nek.ts';
import { createCredentialStoreService } from '#services/credential-store/service.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { unwrapKey } from '#shared/key-wrap.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';

const NEK = generateNek('edge');

async function startStore(data: string, options: { nek?: string | null; log?: typeof silentLogger } = {}) {
  const file = join(data, 'nek.key');
  if (options.nek !== null) await writeFile(file, options.nek ?? NEK, { mode: 0o600 });
  const credentials = options.nek === null ? {} : { nek: file };
  const settings = new Settings(ConfigSchema.parse({ node: { data }, credentials }));
  const bus = new LocalBus('edge-1');
  const log = options.log ?? silentLogger;
  const service = createCredentialStoreService({ settings, log, announce: announcer(bus, credentialStoreContract) });
  const revisions: number[] = [];
  listen(bus, credentialStoreContract, log)('changed', ({ revision }) => revisions.push(revision));
  try {
    await service.start();
  } catch (error) {
    await service.stop();
    throw error;
  }
  serve(bus, service, log);
  const stop = async () => {
    await bus.drain();
    await service.stop();
  };
  return { calls: client(bus, credentialStoreContract), revisions, file, [Symbol.asyncDispose]: stop };
}

const fails = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof SealpostError && error.code === code && text.test(errorText(error));

const key = (selector: string, domain = 'example.com') => ({ domain, selector, algorithm: 'ed25519' as const });

test('without a NEK it runs, lists, and says how to get one when a key is asked for', async () => {
  await using data = await tempDir();
  await using store = await startStore(data.path, { nek: null });
  assert.deepEqual(await store.calls.list({}), { keys: [] });
  await assert.rejects(store.calls.create(key('s1')), fails('no-nek', /keys nek/));
});

const BAD_NEKS: [string, string, RegExp][] = [
  ['is empty', '', /nek\.key is empty/],
  ['is no NEK', 'hello', /nek\.key: not a NEK/],
  ['is too short', 'sealpost-nek:edge:AAAA', /nek\.key: NEK edge has 3 bytes/],
];
for (const [what, nek, message] of BAD_NEKS) {
  test(`it does not start when the NEK file ${what}`, async () => {
    await using data = await tempDir();
    await assert.rejects(startStore(data.path, { nek }), (error) => message.test(errorText(error)));
  });
}

test('a NEK file that everyone can read is warned about', async () => {
  await using data = await tempDir();
  const { log, lines } = logLines();
  await writeFile(join(data.path, 'nek.key'), NEK);
  await chmod(join(data.path, 'nek.key'), 0o644);
  await using _store = await startStore(data.path, { log });
  assert.match(
    lines()
      .map((l) => l.msg)
      .join('\n'),
    /nek\.key can be read by every user of this machine: chmod 600/,
  );
});

test('another NEK than the keys have is refused at the start, both named; the old one finds its keys again', async () => {
  await using data = await tempDir();
  const other = generateNek('edge');
  {
    await using store = await startStore(data.path);
    await store.calls.create(key('s1'));
  }
  const message = new RegExp(
    `s1 of example.com was wrapped with NEK edge \\(${parseNek(NEK).fingerprint}\\), but .* edge \\(${parseNek(other).fingerprint}\\)`,
  );
  await assert.rejects(startStore(data.path, { nek: other }), fails('nek-mismatch', message));
  await using store = await startStore(data.path);
  assert.equal((await store.calls.list({})).keys.length, 1);
  // The file changes while the store runs: no second NEK comes in beside the first.
  await writeFile(store.file, other);
  await assert.rejects(store.calls.create(key('s2')), fails('nek-mismatch', message));
});

test('a NEK file that goes away later stops new keys only', async () => {
  await using data = await tempDir();
  await using store = await startStore(data.path);
  await writeFile(store.file, 'gone');
  await assert.rejects(store.calls.create(key('s1')), fails('no-nek', /no key can be made.* .*nek\.key: not a NEK/));
  assert.deepEqual(await store.calls.list({}), { keys: [] });
});

for (const algorithm of ['rsa-2048', 'rsa-1024', 'ed25519'] as const) {
  test(`a new ${algorithm} key: what DNS gets verifies what the wrapped key signs`, async () => {
    await using data = await tempDir();
    await using store = await startStore(data.path);
    const info = await store.calls.create({ domain: 'Bücher.example', selector: 'S1', algorithm, allowWeak: true });
    assert.equal(info.domain, 'xn--bcher-kva.example');
    assert.equal(info.selector, 's1');
    assert.equal(info.state, 'active');
    const p = Buffer.from(info.publicKey, 'base64');
    const digest = createHash('sha256').update(p).digest('hex').toUpperCase();
    assert.equal(info.fingerprint, digest.replace(/(..)(?=.)/g, '$1:'));
    assert.equal('wrapped' in info, false);

    const { keys } = await store.calls.signingKeys({});
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
  await using store = await startStore(data.path, { log });
  const weak = { domain: 'example.com', selector: 's1', algorithm: 'rsa-1024' as const };
  await assert.rejects(store.calls.create(weak), fails('weak-key', /rsa-2048/));
  await store.calls.create({ ...weak, allowWeak: true });
  assert.equal(lines().filter((l) => l.level === 'warn' && /weak key/.test(l.msg)).length, 1);
});

test('a name is used once, also when two ask for it at the same time', async () => {
  await using data = await tempDir();
  await using store = await startStore(data.path);
  const results = await Promise.allSettled([
    store.calls.create(key('s1')),
    store.calls.create(key('S1', 'EXAMPLE.com.')),
  ]);
  assert.deepEqual(results.map((r) => r.status).sort(), ['fulfilled', 'rejected']);
  await assert.rejects(store.calls.create(key('s1')), fails('exists', /s1 already/));
  await assert.rejects(store.calls.create(key('s_1')), fails('invalid-name', /s_1/));
  assert.equal((await store.calls.list({})).keys.length, 1);
});

test('keys are listed in order, got and deleted under any spelling of their name; every change raises the revision', async () => {
  await using data = await tempDir();
  {
    await using store = await startStore(data.path);
    for (const [domain, selector] of [
      ['b.example', 's1'],
      ['a.example', 's2'],
      ['a.example', 's1'],
    ] as const) {
      await store.calls.create(key(selector, domain));
    }
    await store.calls.delete({ domain: 'A.Example.', selector: 'S2' });
    await assert.rejects(store.calls.delete({ domain: 'a.example', selector: 's2' }), fails('not-found', /s2/));
    await assert.rejects(store.calls.get({ domain: 'a.example', selector: 's2' }), fails('not-found', /s2/));
    assert.deepEqual(store.revisions, [1, 2, 3, 4]);
  }
  await using store = await startStore(data.path);
  const names = (await store.calls.list({})).keys.map((k) => `${k.selector} ${k.domain}`);
  assert.deepEqual(names, ['s1 a.example', 's1 b.example']);
  assert.equal((await store.calls.list({ domain: 'B.EXAMPLE' })).keys.length, 1);
  assert.equal((await store.calls.list({ domain: 'example' })).keys.length, 0);
  assert.equal((await store.calls.get({ domain: 'B.EXAMPLE.', selector: 'S1' })).domain, 'b.example');
  assert.equal((await store.calls.signingKeys({})).revision, 4);
});

test('signing keys come in pages', async () => {
  await using data = await tempDir();
  await using store = await startStore(data.path);
  for (let i = 0; i < 201; i++) await store.calls.create(key(`s${i}`));
  const first = await store.calls.signingKeys({});
  assert.equal(first.keys.length, 200);
  assert.ok(first.next !== undefined);
  const second = await store.calls.signingKeys({ after: first.next });
  assert.equal(second.next, undefined);
  assert.equal(new Set([...first.keys, ...second.keys].map((k) => k.selector)).size, 201);
});

const DAMAGE: [string, (value: Buffer) => Buffer | string][] = [
  ['is cut off', (v) => v.subarray(0, v.length - 10)],
  ['is empty', () => ''],
  ['has one letter changed', (v) => v.toString().replace('"selector":"s2"', '"selector":"s3"')],
  ['has another public key', (v) => v.toString().replace(/"publicKey":"./, '"publicKey":"!')],
  ['lacks its digest', (v) => v.toString().replace(/,"digest".*$/, '}')],
  ['is of a version to come', (v) => v.toString().replace('"version":1', '"version":2')],
];
for (const [what, change] of DAMAGE) {
  test(`a record that ${what} is reported and set aside; the other keys work`, async () => {
    await using data = await tempDir();
    {
      await using store = await startStore(data.path);
      for (const selector of ['s1', 's2']) await store.calls.create(key(selector));
    }
    const folder = join(data.path, 'credentials');
    const record = 'key!example.com!s2';
    const level = await Store.open(folder, silentLogger);
    const value = Buffer.from(change((await level.get(record)) ?? Buffer.alloc(0)));
    await level.write([{ type: 'put', key: record, value }]);
    await level.close();

    const { log, lines } = logLines();
    {
      await using store = await startStore(data.path, { log });
      const errors = lines().filter((l) => l.level === 'error');
      assert.equal(errors.length, 1);
      assert.equal(errors[0]?.['selector'], 's2');
      assert.deepEqual(
        (await store.calls.signingKeys({})).keys.map((k) => k.selector),
        ['s1'],
      );
      await store.calls.create(key('s2'));
    }
    const after = await Store.open(folder, silentLogger);
    assert.deepEqual(await after.get(`corrupt!${record}`), value);
    await after.close();
  });
}

test('a damaged revision never goes back', async () => {
  await using data = await tempDir();
  {
    await using store = await startStore(data.path);
    await store.calls.create(key('s1'));
  }
  const level = await Store.open(join(data.path, 'credentials'), silentLogger);
  await level.write([{ type: 'put', key: 'meta!revision', value: Buffer.from('x') }]);
  await level.close();
  await using store = await startStore(data.path);
  assert.ok((await store.calls.signingKeys({})).revision > 1_000_000);
});

test('a key whose write failed is neither listed nor found after a restart, and its name is free again', async (t) => {
  await using data = await tempDir();
  {
    await using store = await startStore(data.path);
    const write = Store.prototype.write;
    // The disk fails behind the first write: LevelDB may have it all the same.
    let writes = 0;
    t.mock.method(Store.prototype, 'write', async function (this: Store, operations: StoreOperation[]) {
      await write.call(this, operations);
      if (++writes === 1) throw new SealpostError('store-failed', 'disk full');
    });
    await assert.rejects(store.calls.create(key('s1')), fails('store-failed', /disk full/));
    assert.deepEqual(await store.calls.list({}), { keys: [] });
    assert.deepEqual(store.revisions, []);
  }
  await using store = await startStore(data.path);
  assert.deepEqual(await store.calls.list({}), { keys: [] });
  await store.calls.create(key('s1'));
});

test('neither disk nor log holds a private key or the NEK in clear', async () => {
  await using data = await tempDir();
  const { log, lines } = logLines();
  let der = Buffer.alloc(0);
  {
    await using store = await startStore(data.path, { log });
    await store.calls.create(key('s1'));
    const [wrapped] = (await store.calls.signingKeys({})).keys;
    assert.ok(wrapped);
    der = unwrapKey(parseNek(NEK), wrapped, wrapped.wrapped).export({ type: 'pkcs8', format: 'der' });
  }
  const seed = der.subarray(-32);
  const secrets = [seed, parseNek(NEK).key.export()].flatMap((s) => [
    s,
    Buffer.from(s.toString('hex')),
    Buffer.from(s.toString('base64').slice(0, 40)),
  ]);
  const folder = join(data.path, 'credentials');
  const texts = [Buffer.from(JSON.stringify(lines()))];
  for (const file of await readdir(folder)) texts.push(await readFile(join(folder, file)));
  assert.ok(texts.length > 2);
  for (const secret of secrets) for (const text of texts) assert.equal(text.includes(secret), false);
});
