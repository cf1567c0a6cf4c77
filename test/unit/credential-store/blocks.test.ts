import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { announcer } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { Store } from '#cluster/store.ts';
import { policyContract } from '#services/policy/contract.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { fails, startNode } from './fixture.ts';

/** Records of who is blocked. */

test('a user is blocked once, under any spelling, with the newest reason; the block is no entry', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  assert.equal((await calls['user-block']({ name: 'Älice', since: 5 })).changed, true);
  assert.equal((await calls['user-block']({ name: 'A\u0308LICE', since: 7 })).changed, false);
  assert.equal((await calls['user-block']({ name: 'älice', reason: 'left' })).changed, true);
  assert.deepEqual((await calls['block-list']({})).blocks, [{ name: 'Älice', reason: 'left', since: 5 }]);
  assert.deepEqual((await calls['entry-list']({ kind: 'user' })).entries, []);
  await assert.rejects(calls['user-block']({ name: ' x' }), fails('invalid', /white space/));
  await calls['user-unblock']({ name: 'ÄLICE' });
  assert.deepEqual((await calls['block-list']({})).blocks, []);
  await assert.rejects(calls['user-unblock']({ name: 'älice' }), fails('not-found', 'not blocked'));
});

test('blocks come in pages', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  const { calls } = node;
  const names = Array.from({ length: 501 }, (_, i) => `user${String(i).padStart(3, '0')}`);
  await Promise.all(names.map((name) => calls['user-block']({ name })));
  const first = await calls['block-list']({});
  const second = await calls['block-list']({ after: first.next });
  assert.deepEqual(
    [...first.blocks, ...second.blocks].map(({ name }) => name),
    names,
  );
  assert.equal(second.next, undefined);
});

test('however many records are damaged, policy hears of each block among them', async () => {
  await using data = await tempDir();
  const store = await Store.open(join(data.path, 'credentials'), silentLogger);
  const keys = Array.from({ length: 200 }, (_, i) => `alias!a${i}@example.com`);
  keys.push('block!mallory', 'block!oscar');
  await store.write(keys.map((key) => ({ type: 'put', key: `directory!record!${key}`, value: Buffer.from('x') })));
  await store.close();
  await using node = await startNode(data.path);
  const { records } = await node.calls['directory-list']({});
  const blocks = records.filter(({ key }) => key.startsWith('block!'));
  assert.deepEqual(blocks, [
    { key: 'block!mallory', json: '' },
    { key: 'block!oscar', json: '' },
  ]);
  assert.ok(records.length < 150);
});

test('nobody is blocked while a policy service lives that would not know it', async () => {
  await using data = await tempDir();
  const bus = new LocalBus('edge-1');
  await using node = await startNode(data.path, { bus });
  const { calls } = node;
  const announce = announcer(bus, policyContract);
  const older = { node: 'edge-7', instance: 'p', revision: 0, neks: [] };
  await waitFor(
    () => {
      announce('present', older);
      return calls['user-block']({ name: 'alice' }).then(() => false, fails('invalid', 'edge-7 is of an earlier'));
    },
    { what: 'the refusal' },
  );
  await waitFor(
    () => {
      announce('present', { ...older, blocks: true });
      return calls['user-block']({ name: 'alice' }).then(() => true, fails('invalid', 'edge-7'));
    },
    { what: 'the block' },
  );
});
