import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import type { RotationStatus } from '#shared/keys/rotation.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import {
  activeKey,
  ed25519,
  fails,
  reaches,
  type StoreNode,
  startNode,
  Zone,
} from '#test/unit/credential-store/fixture.ts';

/** Rotations and schedules as an administrator leads them, through the contract. */

const domain = 'example.com';
const statesOf = async ({ calls }: StoreNode, of = domain): Promise<string> =>
  (await calls['key-list']({ domain: of })).keys.map((k) => `${k.selector} ${k.state}`).join(', ');

async function rotationIs(node: StoreNode, state: RotationStatus['state'], of = domain): Promise<RotationStatus> {
  return waitFor(
    async () => {
      const rotation = await node.calls['rotation-show']({ domain: of });
      return rotation.state === state && rotation;
    },
    { what: `the rotation to be ${state}`, timeout: 15_000 },
  );
}

test('every active key is replaced by one of its algorithm under a new name', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path, { config: { keys: { 'retire-after': '1h' } } });
  const { calls } = node;
  await assert.rejects(calls['rotation-start']({ domain }), fails('not-found', domain));
  await calls['key-create'](ed25519('s1'));
  await assert.rejects(calls['rotation-show']({ domain }), fails('not-found', domain));
  await reaches(node, 's1', 'active');
  await calls['key-create']({ domain, selector: 'r1', algorithm: 'rsa-2048' });
  await reaches(node, 'r1', 'active');
  const begun = await calls['rotation-start']({ domain: 'Example.COM.' });
  assert.deepEqual(
    begun.from.map((k) => k.selector),
    ['s1', 'r1'],
  );
  assert.match(begun.to.map((k) => k.selector).join(), /^e\d{8},s\d{8}$/);
  assert.equal(begun.by, 'edge-1');
  const done = await rotationIs(node, 'done');
  assert.deepEqual([done.waiting, done.driver, done.id], [undefined, 'edge-1', begun.id]);
  assert.deepEqual(
    [...done.from, ...done.to].map((k) => [k.algorithm, k.state]),
    [
      ['ed25519', 'retiring'],
      ['rsa-2048', 'retiring'],
      ['ed25519', 'active'],
      ['rsa-2048', 'active'],
    ],
  );
  assert.ok(done.events.length >= 3, JSON.stringify(done.events));
});

test('of two concurrent starts one wins; the other learns which', async () => {
  await using data = await tempDir();
  await using dns = await Zone.start();
  await using node = await startNode(data.path, { dns });
  const { calls } = node;
  const key = await calls['key-create'](ed25519('s1', Zone.NAME));
  dns.publish(key);
  await reaches(node, 's1', 'active', Zone.NAME);
  const both = await Promise.allSettled([
    calls['rotation-start']({ domain: Zone.NAME }),
    calls['rotation-start']({ domain: Zone.NAME }),
  ]);
  const [lost, ...more] = both.filter((r) => r.status === 'rejected');
  assert.equal(more.length, 0);
  assert.ok(fails('rotation-under-way', Zone.NAME, 'edge-1')(lost?.reason));
  assert.equal((await calls['key-list']({ domain: Zone.NAME })).keys.length, 2);
  await assert.rejects(calls['rotation-start']({ domain: Zone.NAME }), fails('rotation-under-way', 'edge-1'));
});

test('side by side: both sign until the time is over', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  await activeKey(node, 's1');
  const begun = Date.now();
  await node.calls['rotation-start']({ domain, to: ['S2'], sideBySide: 3000 });
  const both = await waitFor(
    async () => {
      const rotation = await node.calls['rotation-show']({ domain });
      return rotation.sideBySideUntil !== undefined && rotation;
    },
    { what: 'the switch' },
  );
  assert.equal(await statesOf(node), 's1 active, s2 active');
  assert.equal(both.state, 'running');
  assert.ok((both.sideBySideUntil ?? 0) >= begun + 3000);
  await rotationIs(node, 'done');
  assert.ok(Date.now() >= begun + 3000);
});

test('new names go to the keys that are named, in their order; what cannot be replaced is said', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path, { config: { keys: { 'retire-after': '1h' } } });
  const { calls } = node;
  await activeKey(node, 's1');
  await activeKey(node, 's2');
  await calls['key-create']({ ...ed25519('s3'), activate: false });
  await reaches(node, 's3', 'proven');
  const refused: [Parameters<(typeof calls)['rotation-start']>[0], ReturnType<typeof fails>][] = [
    [{ domain, from: ['s3'] }, fails('no-active-key', 's3', 'proven')],
    [{ domain, from: ['s3'], to: ['n1'] }, fails('no-active-key', 's3', 'proven')],
    [{ domain, from: ['s1', 's3'], to: ['n1', 'n2'] }, fails('no-active-key', 's3')],
    [{ domain, from: ['none'], to: ['n1'] }, fails('not-found', 'none')],
    [{ domain, from: [] }, fails('malformed', 'from')],
    [{ domain, to: ['n1'] }, fails('invalid-name', /^2 keys of example\.com .* 1 new selector/)],
    [{ domain, to: ['n1', 'n1'] }, fails('exists', 'n1')],
    [{ domain, to: ['n1', 's2'] }, fails('exists', 's2')],
    [{ domain, to: ['n1', 'n_2'] }, fails('invalid-name', 'n_2')],
  ];
  for (const [request, expected] of refused) await assert.rejects(calls['rotation-start'](request), expected);
  assert.equal(await statesOf(node), 's1 active, s2 active, s3 proven');

  await calls['rotation-start']({ domain, from: ['S2', 's1'], to: ['for-s2', 'for-s1'] });
  const { from, to } = await rotationIs(node, 'done');
  const pairs = from.map((old, i) => [old.selector, to[i]?.selector]);
  assert.deepEqual(pairs.sort(), [
    ['s1', 'for-s1'],
    ['s2', 'for-s2'],
  ]);
});

test('a domain whose configuration names the selectors that sign is not rotated', async () => {
  await using data = await tempDir();
  await using node = await startNode(data.path);
  await activeKey(node, 's1');
  const domains = [{ name: domain, keys: { proof: 'none' }, signing: { selectors: ['s1'] } }];
  node.settings.replace({ ...node.settings.current, domains: ConfigSchema.parse({ domains }).domains });
  await assert.rejects(
    node.calls['rotation-start']({ domain }),
    fails('not-configured', 'signing.selectors', domain, 's1'),
  );
  assert.equal(await statesOf(node), 's1 active');
});

test('a rotation is frozen through a restart, continues when it is resumed, and can be rolled back when it is done', async () => {
  const zone = { domain: Zone.NAME };
  await using data = await tempDir();
  await using dns = await Zone.start();
  const config = { keys: { 'retire-after': '1h' } };
  let selector = '';
  {
    await using node = await startNode(data.path, { dns, config });
    const { calls } = node;
    dns.publish(await calls['key-create'](ed25519('s1', Zone.NAME)));
    await reaches(node, 's1', 'active', Zone.NAME);
    await assert.rejects(calls['rotation-freeze'](zone), fails('wrong-state', Zone.NAME));
    await assert.rejects(calls['rotation-rollback'](zone), fails('wrong-state', Zone.NAME));
    await assert.rejects(calls['rotation-resume'](zone), fails('wrong-state', Zone.NAME));
    const begun = await calls['rotation-start'](zone);
    selector = begun.to[0]?.selector ?? '';
    const frozen = await calls['rotation-freeze']({ ...zone, reason: 'new year' });
    assert.equal(frozen.state, 'frozen');
    assert.match(frozen.waiting ?? '', /frozen by edge-1 .*new year/);
    await assert.rejects(calls['rotation-freeze'](zone), fails('wrong-state', 'new year'));
    dns.publish(await calls['key-show']({ ...zone, selector }));
  }
  await using node = await startNode(data.path, { dns, config });
  const { calls } = node;
  assert.equal((await calls['rotation-show'](zone)).state, 'frozen');
  assert.notEqual((await calls['key-show']({ ...zone, selector })).state, 'active');
  assert.deepEqual(await calls['rotation-resume'](zone), {});
  await rotationIs(node, 'done', Zone.NAME);
  assert.equal(await statesOf(node, Zone.NAME), `s1 retiring, ${selector} active`.split(', ').sort().join(', '));

  const back = await calls['rotation-rollback'](zone);
  assert.deepEqual([back.state, back.from[0]?.state, back.to[0]?.state], ['rolled-back', 'active', 'retiring']);
  await assert.rejects(calls['rotation-rollback'](zone), fails('wrong-state', Zone.NAME));
  // A new one may start immediately.
  assert.equal((await calls['rotation-start'](zone)).state, 'running');
});

test('schedules are set, listed, kept and removed; one that is due rotates', async (t) => {
  await using data = await tempDir();
  {
    await using node = await startNode(data.path);
    const { calls } = node;
    await assert.rejects(calls['schedule-set']({ domain, days: 90 }), fails('not-found', domain));
    await activeKey(node, 's1');
    await assert.rejects(
      calls['schedule-set']({ domain, days: 90, zone: 'Europe/Bielefeld' }),
      fails('invalid-schedule', 'Bielefeld'),
    );
    await assert.rejects(calls['schedule-set']({ domain, days: 90, at: '24:00' }), fails('malformed', 'HH:MM'));
    const { schedule } = await calls['schedule-set']({
      domain: 'EXAMPLE.com',
      days: 90,
      at: '04:30',
      zone: 'Europe/Berlin',
    });
    assert.ok(schedule);
    assert.deepEqual(
      [schedule.domain, schedule.days, schedule.zone, schedule.parallel],
      [domain, 90, 'Europe/Berlin', false],
    );
    assert.ok(Math.abs(schedule.next - Date.now() - 90 * 86_400_000) < 1.1 * 86_400_000);
    const local = await calls['schedule-set']({ domain, days: 1, at: '04:30' });
    assert.equal(local.schedule?.zone, Intl.DateTimeFormat().resolvedOptions().timeZone);
  }
  await using node = await startNode(data.path);
  const { calls } = node;
  const [kept] = (await calls['schedule-list']({})).schedules;
  assert.deepEqual([kept?.domain, kept?.days], [domain, 1]);
  const due = kept?.next ?? 0;
  const now = Date.now;
  t.mock.method(Date, 'now', () => now() + 3 * 86_400_000);
  const { by } = await rotationIs(node, 'done');
  assert.equal(by, 'schedule');
  const [next] = (await calls['schedule-list']({})).schedules;
  assert.ok((next?.next ?? 0) > due + 2 * 86_400_000);
  assert.deepEqual(await calls['schedule-set']({ domain }), {});
  assert.deepEqual(await calls['schedule-list']({}), { schedules: [] });
});
