import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Level } from 'level';
import { announcer } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { policyContract } from '#services/policy/contract.ts';
import { passwordPlace } from '#shared/directory/password-place.ts';
import { type DirectoryRecord, UserRecord } from '#shared/directory/records.ts';
import { generateNek, parseNek } from '#shared/dkim/nek.ts';
import { unwrapSecret } from '#shared/dkim/secret-wrap.ts';
import { SealpostError } from '#shared/errors.ts';
import { SECRET, sealedHash } from '#test/kit/directory/seal-password.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { fails, NEK, type StoreNode, startNode } from './fixture.ts';

/** The entries of the directory: what can be made, changed and imported, and what is refused. */

async function all({ calls }: StoreNode): Promise<Map<string, DirectoryRecord>> {
  const { records } = await calls['directory-list']({});
  return new Map(records.map(({ key, json }) => [key, JSON.parse(json) as DirectoryRecord]));
}

const addUser = async ({ calls }: StoreNode, name: string, ...addresses: string[]) =>
  calls['user-create']({ name, addresses: { set: addresses }, password: await sealedHash(calls, name) });

test('a user is made once, found in every spelling, changed and removed; the hash is stored wrapped alone', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  const { entry } = await addUser(node, 'Älice', 'alice@Example.com', '@lists.example.com');
  assert.deepEqual(entry, {
    ...{ kind: 'user', name: 'Älice', addresses: ['alice@example.com', '@lists.example.com'], onBehalfOf: [] },
    ...{ hasPassword: true, appPasswords: [] },
  });
  await assert.rejects(addUser(node, 'A\u0308LICE'), fails('exists', /Ä?LICE already/i));
  await calls['user-change']({ name: 'älice', addresses: { add: ['a2@example.com'], remove: ['ALICE@example.com'] } });
  const record = UserRecord.parse((await all(node)).get('user!älice'));
  assert.deepEqual(record.addresses, ['@lists.example.com', 'a2@example.com']);
  assert.ok(record.password);
  assert.equal(unwrapSecret([parseNek(NEK)], passwordPlace('älice'), record.password).toString(), SECRET);
  assert.ok(!JSON.stringify(record).includes(Buffer.from(SECRET).toString('base64').slice(0, 40)));
  // Bound to its place: that of another user does not open with it.
  assert.throws(() => unwrapSecret([parseNek(NEK)], passwordPlace('bob'), record.password as never), {
    code: 'key-damaged',
  });
  await calls['entry-delete']({ kind: 'user', name: 'ÄLICE' });
  await assert.rejects(calls['entry-show']({ kind: 'user', name: 'älice' }), fails('not-found', 'älice'));
  await assert.rejects(calls['user-change']({ name: 'älice' }), fails('not-found', 'älice'));
});

test('names with control characters, addresses that are none, and hashes that are none are refused with a reason', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  await assert.rejects(calls['user-create']({ name: 'a\u0007b' }), fails('invalid', /name: .*control characters/));
  await assert.rejects(addUser(node, 'bob', 'no address'), fails('invalid', /addresses\.0: "no address" is not/));
  const password = await sealedHash(calls, 'bob', { hash: 'hunter2' });
  await assert.rejects(calls['user-create']({ name: 'bob', password }), fails('invalid', /not an argon2id hash/));
  const other = await sealedHash(calls, 'carol');
  await assert.rejects(calls['user-create']({ name: 'bob', password: other }), fails('invalid', /does not open/));
  const forged = { ...other, key: 'AAAA' };
  await assert.rejects(calls['user-create']({ name: 'carol', password: forged }), fails('invalid', /does not open/));
  const foreign = { ...other, nek: '0'.repeat(16) };
  await assert.rejects(calls['user-create']({ name: 'carol', password: foreign }), fails('nek-mismatch', 'try again'));
  assert.equal((await all(node)).size, 0);
});

test('without a NEK no password can be set, and an alias can', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path, { nek: null });
  await assert.rejects(addUser(node, 'alice'), fails('no-nek'));
  await node.calls['alias-set']({ address: 'a@x.test', targets: { set: ['b@x.test'] }, create: true });
  assert.equal((await all(node)).size, 1);
});

test('an app password is found by its tag, named once, bound to networks, its use noted once a day, and revoked', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  await addUser(node, 'alice');
  const make = async (name: string, tag: string, networks: string[] = []) =>
    calls['app-password-create']({
      ...{ user: 'Alice', name, tag, networks },
      password: await sealedHash(calls, 'alice', { tag }),
    });
  await make('phone', 'abcd', ['192.0.2.0/24']);
  await assert.rejects(make('Phone', 'bcde'), fails('exists', /app password Phone already/));
  await assert.rejects(make('tablet', 'abcd'), fails('exists', /begins like this one/));
  await assert.rejects(make('tablet', 'bcde', ['192.0.2.0/33']), fails('invalid', /not an IP address or network/));
  const revision = async () => (await calls['directory-list']({})).revision;
  await calls['app-password-used']({ user: 'alice', tag: 'abcd', day: '2026-11-23' });
  const noted = await revision();
  for (const day of ['2026-11-23', '2026-11-22']) await calls['app-password-used']({ user: 'alice', tag: 'abcd', day });
  assert.equal(await revision(), noted, 'a use was written twice on a day');
  const { entry } = await calls['entry-show']({ kind: 'user', name: 'alice' });
  assert.ok(entry.kind === 'user');
  assert.deepEqual(
    entry.appPasswords.map(({ created: _, ...one }) => one),
    [{ tag: 'abcd', name: 'phone', networks: ['192.0.2.0/24'], lastUsed: '2026-11-23' }],
  );
  await calls['app-password-revoke']({ user: 'alice', name: 'PHONE' });
  await assert.rejects(calls['app-password-revoke']({ user: 'alice', name: 'phone' }), fails('not-found', 'phone'));
});

test('a group cannot contain itself, through groups, aliases and addresses, nor have the name of a user', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  await addUser(node, 'alice', 'alice@x.test');
  const group = (name: string, members: string[], at: string[] = [], create = true) =>
    calls['group-set']({ name, addresses: { add: at }, members: { add: members }, create });
  await group('inner', ['alice', 'far@y.test']);
  await group('outer', ['inner'], ['outer@x.test']);
  await calls['alias-set']({ address: 'all@x.test', targets: { set: ['outer@x.test'] }, create: true });
  await assert.rejects(
    group('inner', ['outer'], [], false),
    fails('invalid', /inner would contain itself: inner, outer/),
  );
  await assert.rejects(group('inner', ['ALL+tag@x.test'], [], false), fails('invalid', /would contain itself/));
  await assert.rejects(group('inner', ['Inner'], [], false), fails('invalid', /would contain itself/));
  await assert.rejects(group('alice', []), fails('exists', /user has the name alice/));
  await assert.rejects(addUser(node, 'OUTER'), fails('exists', /group has the name OUTER/));
  await assert.rejects(group('third', [], ['OUTER@x.test']), fails('exists', /outer has the address/));
  await assert.rejects(group('third', ['nobody']), fails('not-found', /nobody is neither a user nor a group/));
  await assert.rejects(group('outer', []), fails('exists', 'outer'));
  await assert.rejects(group('gone', [], [], false), fails('not-found', 'gone'));
});

test('a user leaves no group behind that a later user of the name would get the mail of', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  await addUser(node, 'alice', 'alice@example.com');
  await addUser(node, 'bob', 'bob@example.com');
  for (const name of ['staff', 'all']) {
    const members = { set: name === 'all' ? ['staff', 'ALICE'] : ['Alice', 'bob'] };
    await calls['group-set']({ name, addresses: { set: [`${name}@example.com`] }, members, create: true });
  }
  await assert.rejects(
    calls['entry-delete']({ kind: 'user', name: 'alice' }),
    fails('invalid', /alice is a member of the groups (staff, all|all, staff): remove it there first/),
  );
  await assert.rejects(calls['entry-delete']({ kind: 'group', name: 'staff' }), fails('invalid', /the group all:/));
  await calls['group-set']({ name: 'all', members: { set: ['bob'] }, create: false });
  await calls['entry-delete']({ kind: 'group', name: 'staff' });
  await calls['entry-delete']({ kind: 'user', name: 'alice' });
});

test('an alias that would lead only back to itself, or nowhere, is refused with that reason', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const alias = (address: string, target: string) =>
    node.calls['alias-set']({ address, targets: { set: [target] }, create: true });
  await alias('a@x.test', 'b@x.test');
  await assert.rejects(alias('b@x.test', 'A@x.test'), fails('invalid', /only back to itself/));
  await alias('c@x.test', 'c@x.test');
  const emptied = node.calls['alias-set']({ address: 'a@x.test', targets: { remove: ['b@x.test'] }, create: false });
  await assert.rejects(emptied, fails('invalid', /would lead nowhere: remove it/));
});

test('an import says what is wrong with which entry, takes the others, and changes nothing when repeated', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  const user = async (name: string, addresses: string[]) => ({
    ...{ kind: 'user' as const, name, addresses, onBehalfOf: [] },
    password: await sealedHash(calls, name),
  });
  const entries = [
    await user('alice', ['alice@x.test']),
    await user('bad', ['none']),
    { kind: 'alias' as const, address: 'sales@X.test', targets: ['alice@x.test'] },
    { kind: 'group' as const, name: 'staff', addresses: [], members: ['alice', 'unknown yet'] },
    { kind: 'map' as const, name: 'canonical', entries: { 'a@x.test': 'b@x.test' } },
  ];
  const first = await calls['entry-import']({ entries });
  assert.deepEqual([first.changed, first.unchanged, first.failed.map(({ name }) => name)], [4, 0, ['bad']]);
  const before = await all(node);
  const again = await calls['entry-import']({ entries: [await user('alice', ['alice@x.test']), ...entries.slice(2)] });
  assert.deepEqual([again.changed, again.unchanged], [0, 4]);
  assert.deepEqual(await all(node), before);
});

test('a list larger than a message comes in pages that the bus carries, and after that only what changed', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  const many = Array.from({ length: 1000 }, (_, i) => ({
    ...{ kind: 'alias' as const, address: `a${String(i).padStart(4, '0')}@x.test` },
    targets: Array.from({ length: 32 }, (_, j) => `${'target'.repeat(3)}${j}@x.test`),
  }));
  for (let i = 0; i < many.length; i += 200) await calls['entry-import']({ entries: many.slice(i, i + 200) });
  const keys = [];
  let pages = 0;
  let last: Awaited<ReturnType<(typeof calls)['directory-list']>> | undefined;
  do {
    last = await calls['directory-list']({ ...(last?.next !== undefined && { after: last.next }) });
    assert.ok(Buffer.byteLength(JSON.stringify(last)) < 900_000);
    keys.push(...last.records.map(({ key }) => key));
    pages++;
  } while (last.next !== undefined);
  assert.ok(pages > 1);
  assert.deepEqual(
    keys,
    many.map(({ address }) => `alias!${address}`),
  );
  await calls['entry-delete']({ kind: 'alias', name: 'a0007@x.test' });
  await addUser(node, 'alice');
  const delta = await calls['directory-list']({ since: last.cursor as string });
  assert.deepEqual(delta.changed, ['alias!a0007@x.test', 'user!alice']);
  assert.deepEqual(
    delta.records.map(({ key }) => key),
    ['user!alice'],
  );
});

test('an entry that is damaged on disk is told of, so that nobody in it is taken for one who does not exist', async () => {
  await using data = await tempDir();
  {
    await using node = await startNode(data.path);
    await addUser(node, 'alice', 'alice@x.test');
    await addUser(node, 'bob', 'bob@x.test');
  }
  const disk = new Level<string, Buffer>(join(data.path, 'credentials'), { valueEncoding: 'buffer' });
  await disk.put('directory!record!user!alice', Buffer.from('damaged'));
  await disk.close();
  await using node = await startNode(data.path);
  const { records } = await node.calls['directory-list']({});
  assert.deepEqual(
    records.map(({ key, json }) => [key, json === '']),
    [
      ['user!alice', true],
      ['user!bob', false],
    ],
  );
  await addUser(node, 'alice', 'alice@x.test');
  assert.ok((await all(node)).get('user!alice')?.kind === 'user');
});

test('a page of a list is measured in bytes: texts of other scripts take three for each character', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const entries = Object.fromEntries(Array.from({ length: 430 }, (_, i) => [`${i}@example.com`, '郵'.repeat(280)]));
  for (const name of ['a', 'b', 'c', 'd']) await node.calls['map-set']({ name, entries });
  const page = await node.calls['entry-list']({ kind: 'map' });
  assert.ok(Buffer.byteLength(JSON.stringify(page)) < 1024 * 1024);
  assert.ok(page.next !== undefined);
});

test('hashes follow the NEK, and the old one can be deleted only after that', async () => {
  await using data = await tempDir();
  const other = generateNek('next');
  await using node = await startNode(data.path, { nek: NEK + other });
  const { calls } = node;
  await calls['nek-use']({ name: 'edge' });
  await addUser(node, 'alice');
  const nekOf = async () => UserRecord.parse((await all(node)).get('user!alice')).password?.nek;
  assert.equal(await nekOf(), 'edge');
  await waitFor(
    () =>
      calls['nek-rotate']({ name: 'next' }).catch((error: unknown) => {
        if (error instanceof SealpostError && error.code === 'no-quorum') return undefined;
        throw error;
      }),
    { what: 'the rotation' },
  );
  await waitFor(async () => (await nekOf()) === 'next', { what: 'the hash under the next NEK' });
  await waitFor(() => calls['nek-delete']({ name: 'edge' }).catch(() => undefined), { what: 'the deletion' });
  await writeFile(node.nekFile, other);
  const record = UserRecord.parse((await all(node)).get('user!alice'));
  assert.ok(record.password);
  assert.equal(unwrapSecret([parseNek(other)], passwordPlace('alice'), record.password).toString(), SECRET);
});

test('a NEK is not replaced while a live policy that opens hashes lacks the next one', async () => {
  await using data = await tempDir();
  const bus = new LocalBus('edge-1');
  await using node = await startNode(data.path, { nek: NEK + generateNek('next'), bus });
  const { calls } = node;
  await calls['nek-use']({ name: 'edge' });
  const policy = { node: 'edge-7', instance: 'p', revision: 0, neks: [parseNek(NEK).fingerprint] };
  const announce = announcer(bus, policyContract);
  const rotate = () => calls['nek-rotate']({ name: 'next' });
  await addUser(node, 'alice');
  await waitFor(
    () => {
      announce('present', policy);
      return rotate().then(() => false, fails('nek-missing-on-node', 'edge-7'));
    },
    { what: 'the refusal' },
  );
  const { neks } = await calls['nek-list']({});
  assert.deepEqual(
    neks.map(({ name, passwords, lacking }) => [name, passwords, lacking]),
    [['edge', 1, []]],
  );
  await calls['entry-delete']({ kind: 'user', name: 'alice' });
  announce('present', policy);
  await rotate();
});
