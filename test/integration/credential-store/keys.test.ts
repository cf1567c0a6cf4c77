import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { wrapKey } from '#shared/dkim/key-wrap.ts';
import { type Nek, parseNek } from '#shared/dkim/nek.ts';
import { publishedBytes } from '#shared/dkim/public-key.ts';
import type { KeyAlgorithm } from '#shared/keys/key.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import {
  activeKey,
  ed25519,
  fails,
  NEK,
  reaches,
  type StoreNode,
  startNode,
  Zone,
} from '#test/unit/credential-store/fixture.ts';
import { nekOf } from '#test/unit/credential-store/neks/fixture.ts';

/** The life of single keys as an administrator leads it, through the contract. */

const s1 = { domain: 'example.com', selector: 's1' };
const s2 = { domain: 'example.com', selector: 's2' };
const statesOf = async (node: StoreNode): Promise<string[]> =>
  (await node.calls['key-list']({})).keys.map((k) => `${k.selector} ${k.state}`);

test('a first key signs without an order, a second of its type by an order; what is asked of one is told of it', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  assert.equal((await calls['key-create'](ed25519('s1'))).activate, true);
  const first = await reaches(node, 's1', 'active');
  assert.deepEqual([first.publish, first.nek, first.problem], ['none', 'edge', undefined]);
  await waitFor(async () => (await calls['key-show'](s1)).nodes.holding.length === 1, {
    what: 'the signer to take it over',
  });
  assert.deepEqual((await calls['key-show'](s1)).nodes, { holding: ['edge-1'], live: 1 });

  assert.equal((await calls['key-create'](ed25519('s2'))).activate, false);
  // RSA is another kind, whatever its length.
  assert.equal((await calls['key-create']({ ...s1, selector: 'r1', algorithm: 'rsa-2048' })).activate, true);
  await reaches(node, 'r1', 'active');
  await reaches(node, 's2', 'proven');
  assert.equal((await calls['key-activate']({ domain: 'Example.com.', selector: 'S2' })).selector, 's2');
  await reaches(node, 's2', 'active');
  assert.equal((await calls['key-activate'](s2)).state, 'active');

  assert.equal((await calls['key-export'](s1)).fingerprint, first.fingerprint);
  for (const operation of [
    'key-show',
    'key-export',
    'key-activate',
    'key-retire',
    'key-revoke',
    'key-delete',
    'record-resolve',
    'key-verify',
  ] as const) {
    await assert.rejects(calls[operation]({ ...s1, selector: 'none' }), fails('not-found', 'example.com', 'none'));
  }
});

test('a retired key stops signing, is erased, revoked and deleted in its time; its selector is never used again', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  await activeKey(node, 's1');
  await assert.rejects(calls['key-retire'](s1), fails('last-key', 's1', 'keys rotate example.com'));
  await assert.rejects(calls['key-revoke'](s1), fails('last-key', 's1'));
  await assert.rejects(calls['key-delete'](s1), fails('wrong-state', /retire it first/));
  await activeKey(node, 's2');
  assert.equal((await calls['key-retire'](s1)).state, 'retiring');
  await assert.rejects(calls['key-retire'](s1), fails('wrong-state', 's1', 'retiring'));
  await assert.rejects(calls['key-delete'](s1), fails('wrong-state', 's1', 'retiring'));
  await waitFor(async () => (await calls['key-show'](s1)).until !== undefined, { what: 'its time to run' });
  await reaches(node, 's1', 'revoked');
  await assert.rejects(calls['key-export'](s1), fails('erased', 's1', 'example.com'));
  await assert.rejects(calls['key-activate'](s1), fails('wrong-state', /erased/));
  await waitFor(async () => (await statesOf(node)).join() === 's2 active', { what: 's1 to go', timeout: 10_000 });
  await assert.rejects(calls['key-show'](s1), fails('not-found', /it was deleted on \d{4}-/));
  await assert.rejects(calls['key-create'](ed25519('s1')), fails('exists', 's1', /choose another selector/));
  // Without another one only by force, and then no key signs.
  assert.equal((await calls['key-retire']({ ...s2, force: true })).state, 'retiring');
});

test('a compromised key stops immediately; one that never signed goes without a trace in DNS', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path, { config: { keys: { 'keep-revoked': '30d' } } });
  const { calls } = node;
  await activeKey(node, 's1');
  assert.equal((await calls['key-revoke']({ ...s1, force: true })).state, 'retired');
  const revoked = await reaches(node, 's1', 'revoked');
  assert.ok((revoked.until ?? 0) > Date.now() + 29 * 86_400_000);
  assert.deepEqual((await calls['signing-key-list']({})).keys, []);
  await assert.rejects(calls['key-revoke'](s1), fails('wrong-state', /erased/));
  // An administrator may delete it before its thirty days are over.
  assert.deepEqual(await calls['key-delete'](s1), {});
  await waitFor(async () => (await statesOf(node)).length === 0, { what: 's1 to go' });

  await calls['key-create']({ ...ed25519('s2'), activate: false });
  await reaches(node, 's2', 'proven');
  await calls['key-delete'](s2);
  await waitFor(async () => (await statesOf(node)).length === 0, { what: 's2 to go' });
  await assert.rejects(calls['key-create'](ed25519('s2')), fails('exists', 's2'));
});

test('a key that is published by hand waits for its record, through a restart, and again for its revocation', async () => {
  const domain = Zone.NAME;
  const name = { domain, selector: 'm1' };
  await using data = await tempDir();
  await using dns = await Zone.start();
  {
    await using node = await startNode(data.path, { dns });
    await node.calls['key-create'](ed25519('m1', domain));
    await reaches(node, 'm1', 'replicated', domain);
    await waitFor(async () => (await node.calls['key-show'](name)).problem, { what: 'a problem', timeout: 10_000 });
    const { problem, dns: view, publish } = await node.calls['key-show'](name);
    assert.match(problem?.text ?? '', /must be published by hand: .*m1\._domainkey\.manual\.test/);
    assert.deepEqual([problem?.permanent, view?.verdict, publish], [false, 'missing', 'manual']);
    const { views, unproven } = await node.calls['key-verify'](name);
    assert.deepEqual(
      views.map((v) => [v.node, v.verdict]),
      [['edge-1', 'missing']],
    );
    assert.deepEqual(unproven, []);
  }
  await using node = await startNode(data.path, { dns });
  const { calls } = node;
  dns.publish(await calls['key-show'](name));
  const active = await reaches(node, 'm1', 'active', domain);
  assert.equal(active.problem, undefined);
  assert.equal((await calls['record-resolve'](name)).verdict, 'ok');
  assert.equal((await calls['record-resolve']({ ...name, expected: 'absent' })).verdict !== 'ok', true);

  await calls['key-revoke']({ ...name, force: true });
  dns.revoke(active);
  await reaches(node, 'm1', 'revoked', domain);
  dns.remove(name);
  await waitFor(async () => (await calls['key-list']({ domain })).keys.length === 0, {
    what: 'm1 to go',
    timeout: 15_000,
  });
});

test('what is verified: the record from every store, the key at every signer', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  const { fingerprint } = await activeKey(node, 's1');
  const good = await calls['key-verify'](s1);
  assert.deepEqual([good.key.fingerprint, good.views, good.unproven], [fingerprint, [], []]);
  await assert.rejects(calls['record-resolve'](s1), fails('not-in-dns', 'example.com'));
  // A signer that was heard a moment ago and does not answer.
  await node.stopSigner();
  const { unproven } = await calls['key-verify'](s1);
  assert.deepEqual(
    unproven.map((u) => u.node),
    ['edge-1'],
  );
  assert.match(unproven[0]?.reason ?? '', /signer/);
});

test('status shows the live processes and the number of keys', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  await activeKey(node, 's1');
  const status = await waitFor(
    async () => {
      const said = await node.calls['status-show']({});
      return said.holders.every((h) => h.revision === said.revision) && said;
    },
    { what: 'the signer to take the changes over' },
  );
  assert.deepEqual([status.node, status.state, status.keys, status.problem], ['edge-1', 'local', 1, undefined]);
  assert.deepEqual(
    status.holders.map((h) => [h.node, h.kind, h.neks, h.behind]),
    ['credential-store', 'signer'].map((kind) => ['edge-1', kind, [parseNek(NEK).fingerprint], undefined]),
  );
});

test('without a signer no key advances, and with one that comes later it does', async () => {
  await using data = await tempDir();
  {
    await using node = await startNode(data.path);
    await node.stopSigner();
    await node.calls['key-create'](ed25519('s1'));
    assert.equal((await node.calls['key-show'](s1)).state, 'created');
  }
  await using node = await startNode(data.path);
  await reaches(node, 's1', 'active');
});

const PAIRS = {
  ed25519: generateKeyPairSync('ed25519').privateKey,
  'rsa-1024': generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
  'rsa-2048': generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  'rsa-2047': generateKeyPairSync('rsa', { modulusLength: 2047 }).privateKey,
  'rsa-pss': generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey,
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  x25519: generateKeyPairSync('x25519').privateKey,
};

/** A request to import; `said` is the algorithm it says, by default the right one. */
function importOf(
  pair: keyof typeof PAIRS,
  { said = pair as KeyAlgorithm, nek = parseNek(NEK) as Nek, selector = 'i1' } = {},
) {
  const name = { domain: 'example.com', selector };
  const privateKey: KeyObject = PAIRS[pair];
  const publicKey = publishedBytes(privateKey).toString('base64');
  return { ...name, algorithm: said, publicKey, wrapped: wrapKey(nek, { ...name, algorithm: said }, privateKey) };
}

const another = publishedBytes(generateKeyPairSync('ed25519').publicKey).toString('base64');
const IMPORTS: [string, () => ReturnType<typeof importOf>, string, RegExp][] = [
  ['is of another algorithm', () => importOf('ed25519', { said: 'rsa-2048' }), 'key-damaged', /rsa-2048.*ed25519/],
  ['is shorter than it says', () => importOf('rsa-2047', { said: 'rsa-2048' }), 'key-damaged', /but is rsa-2047/],
  ['is for RSASSA-PSS alone', () => importOf('rsa-pss', { said: 'rsa-2048' }), 'key-damaged', /but is rsa-pss/],
  ['is for ECDSA', () => importOf('ec', { said: 'ed25519' }), 'key-damaged', /but is ec/],
  ['cannot sign at all', () => importOf('x25519', { said: 'ed25519' }), 'key-damaged', /but is x25519/],
  ['has another public key', () => ({ ...importOf('ed25519'), publicKey: another }), 'key-damaged', /public key/],
  ['is wrapped with another NEK', () => importOf('ed25519', { nek: nekOf('edge') }), 'nek-mismatch', /edge \(/],
  ['was wrapped for another name', () => ({ ...importOf('ed25519'), selector: 'i2' }), 'key-damaged', /i2/],
  ['is weak', () => importOf('rsa-1024'), 'weak-key', /rsa-2048/],
  ['has no good name', () => ({ ...importOf('ed25519'), selector: 'i+1' }), 'invalid-name', /i\+1/],
];
for (const [what, request, code, message] of IMPORTS) {
  test(`a key that ${what} is not imported`, async () => {
    await using data = await tempDir();
    await using node = await startNode(data.path);
    await assert.rejects(node.calls['key-import'](request()), fails(code, message));
    assert.deepEqual((await node.calls['key-list']({})).keys, []);
  });
}

test('a key is imported with the selector that it has, also with "_", which no new key gets', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  await node.calls['key-import'](importOf('ed25519', { selector: 'k1_ed' }));
  await reaches(node, 'k1_ed', 'active');
  const create = { domain: 'example.com', selector: 'k2_ed', algorithm: 'ed25519', allowWeak: false } as const;
  await assert.rejects(node.calls['key-create'](create), fails('invalid-name', 'strict verifiers reject "_"'));
});

test('an imported key lives like one that was made by the store', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  const status = await calls['key-import'](importOf('ed25519'));
  assert.deepEqual([status.state, status.activate, status.selector], ['created', true, 'i1']);
  await reaches(node, 'i1', 'active');
  await assert.rejects(calls['key-import'](importOf('ed25519')), fails('exists', 'i1'));
});

test('named encryption keys are used first, replaced and deleted', async () => {
  const [old, next] = ['old', 'next'].map((name) => `sealpost-nek:${name}:${randomKey()}`);
  await using data = await tempDir();
  await using node = await startNode(data.path, { nek: `${old}\n${next}\n` });
  const { calls } = node;
  assert.deepEqual(await calls['nek-list']({}), { neks: [] });
  await assert.rejects(calls['key-create'](ed25519('s1')), fails('no-nek', 'old', 'next'));
  await assert.rejects(calls['nek-use']({ name: 'none' }), fails('no-nek', 'none'));
  assert.equal((await calls['nek-use']({ name: 'old' })).current, true);
  await assert.rejects(calls['nek-use']({ name: 'next' }), fails('exists', 'old'));
  await activeKey(node, 's1');
  await assert.rejects(calls['nek-delete']({ name: 'old' }), fails('in-use', 'old', /wraps 1 key/));
  await assert.rejects(calls['nek-rotate']({ name: 'none' }), fails('no-nek', 'none'));
  const { nek, rewrapped } = await calls['nek-rotate']({ name: 'next' });
  assert.deepEqual([nek.name, nek.current, nek.keys, rewrapped], ['next', true, 1, 1]);
  assert.deepEqual([nek.having, nek.lacking], [['edge-1'], []]);
  assert.equal((await calls['key-show'](s1)).nek, 'next');
  assert.deepEqual(await calls['nek-delete']({ name: 'old' }), {});
  await assert.rejects(calls['nek-delete']({ name: 'old' }), fails('not-found', 'old'));
  assert.deepEqual(
    (await calls['nek-list']({})).neks.map((n) => n.name),
    ['next'],
  );
  assert.equal((await calls['key-show'](s1)).state, 'active');
  assert.deepEqual((await calls['key-verify'](s1)).unproven, []);
});

const randomKey = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64');
