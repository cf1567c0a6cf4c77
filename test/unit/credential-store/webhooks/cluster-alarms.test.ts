import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Member } from '#cluster/members/member-contract.ts';
import { Store } from '#cluster/store.ts';
import { Alarms } from '#cluster/webhooks/alarms.ts';
import type { DomainRecord, KeyRecord } from '#services/credential-store/records/domain-record.ts';
import { ClusterAlarms } from '#services/credential-store/webhooks/cluster-alarms.ts';
import type { Turn } from '#services/credential-store/webhooks/record-watch.ts';
import type { DnsView } from '#shared/keys/key-status.ts';
import { silentLogger } from '#shared/log.ts';
import type { EventData, WebhookEvent } from '#shared/webhooks/events.ts';
import { tempDir } from '#test/kit/temp.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

/** Which alarms the credential-stores of a cluster raise, and which of them tells. */

const MINUTE = 60_000;

const member = (node: string, more: Partial<Member> = {}): Member => ({
  ...{ node, process: `${node}-1`, epoch: 1, state: 'up', services: ['router', 'credential-store'], version: '1' },
  ...{ contracts: {}, started: 0, config: {}, heard: 500, clock: 0, stopped: false },
  ...more,
});
const gone = (node: string, heard: number, more: Partial<Member> = {}): Member =>
  member(node, { state: 'gone', heard, ...more });

type World = {
  members: Member[];
  domains: DomainRecord[];
  turn: ReturnType<Turn>;
  away: boolean;
  seen: DnsView['verdict'] | undefined;
};

async function watcher(path: string) {
  const undo = new AsyncDisposableStack();
  const store = undo.adopt(await Store.open(`${path}/credentials`, silentLogger), (opened) => opened.close());
  const settings = settingsFor(path);
  const told: string[] = [];
  const ids: string[] = [];
  const webhooks = {
    wants: () => true,
    status: () => [],
    tell: async (events: readonly WebhookEvent[]) => {
      for (const { id, type, data } of events) {
        ids.push(id);
        const { alarm, about } = data as EventData<'alarm.raised'>;
        told.push(`${type === 'alarm.raised' ? '' : 'no '}${alarm}: ${about}`);
      }
    },
  };
  const world: World = { members: [member('edge-1')], domains: [], turn: 'mine', away: false, seen: undefined };
  const view = { node: 'edge-1', summary: '', servers: [], at: 0 };
  const watch = undo.adopt(
    new ClusterAlarms({
      ...{ settings, webhooks, views: { last: () => world.seen && { ...view, verdict: world.seen } } },
      alarms: await Alarms.open({ store, settings, log: silentLogger, webhooks }),
      turn: () => world.turn,
      isAway: () => world.away,
      members: async () => world.members,
      domains: () => world.domains,
    }),
    (made) => made.stop(),
  );
  const look = async (at: number, next: Partial<World>): Promise<string[]> => {
    Object.assign(world, next);
    told.length = 0;
    await watch.look(at);
    return [...told];
  };
  return { look, ids, [Symbol.asyncDispose]: () => undo.disposeAsync() };
}

const having = (more: Partial<KeyRecord>): Partial<World> => {
  const key: KeyRecord = {
    ...{ selector: 's1', state: 'replicated', since: 0, algorithm: 'ed25519', created: 1, fingerprint: 'f' },
    ...{ publicKey: 'p', activate: true, signed: true, publication: { by: 'manual' }, ttl: 60 },
    ...more,
  };
  return { domains: [{ domain: 'example.com', keys: [key], used: [] }] };
};

test('a node that falls silent is told of, one that ends or starts again is not', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  const own = member('edge-1');
  assert.deepEqual(await watch.look(0, { members: [own, gone('edge-2', 10_000)] }), []);
  assert.deepEqual(await watch.look(1, { members: [own, gone('edge-2', 30_000)] }), ['node-silent: node edge-2']);
  assert.deepEqual(await watch.look(2, { members: [own, gone('edge-2', 60_000)] }), []);
  const restarted = member('edge-2', { process: 'edge-2-2' });
  assert.deepEqual(await watch.look(3, { members: [own, gone('edge-2', 90_000), restarted] }), [
    'no node-silent: node edge-2',
  ]);
  assert.deepEqual(await watch.look(4, { members: [own, gone('edge-3', 90_000, { stopped: true })] }), []);
  const part = member('edge-2', { process: 'edge-2-3', services: ['router'] });
  const members = [own, part, gone('edge-2', 90_000, { services: ['listener'] })];
  assert.deepEqual(await watch.look(5, { members }), ['node-silent: node edge-2']);
});

test('a start that finds a node silent does not take it for well because it has never heard of it', async () => {
  await using temp = await tempDir('alarms');
  const own = [member('edge-1')];
  const hour = 60 * MINUTE;
  {
    await using watch = await watcher(temp.path);
    assert.deepEqual(await watch.look(hour, { members: [...own, gone('edge-2', 30_000)] }), [
      'node-silent: node edge-2',
    ]);
  }
  await using watch = await watcher(temp.path);
  assert.deepEqual(await watch.look(hour, { members: own }), []);
  assert.deepEqual(await watch.look(2 * hour, { members: own }), []);
  assert.deepEqual(await watch.look(3 * hour, { members: [...own, member('edge-2')] }), [
    'no node-silent: node edge-2',
  ]);
  await watch.look(4 * hour, { members: [...own, gone('edge-2', 30_000)] });
  // The cluster was told to forget it.
  assert.deepEqual(await watch.look(29 * hour, { members: own }), ['no node-silent: node edge-2']);
});

test('who is cut off says so of itself, and nothing of the others', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  const members = [member('edge-1'), gone('edge-2', 90_000)];
  assert.deepEqual(await watch.look(0, { members, turn: undefined, away: true }), []);
  assert.deepEqual(await watch.look(MINUTE, {}), ['bus-away: node edge-1']);
  assert.deepEqual(await watch.look(2 * MINUTE, { turn: 'mine', away: false }), [
    'no bus-away: node edge-1',
    'node-silent: node edge-2',
  ]);
});

test('one store tells; the next one knows what was told when it is its turn', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  const members = [member('edge-1'), gone('edge-2', 90_000)];
  assert.deepEqual(await watch.look(0, { members, turn: 'other' }), []);
  assert.deepEqual(await watch.look(1, { turn: 'mine' }), []);
  assert.deepEqual(await watch.look(2, { members: [member('edge-1'), member('edge-2')] }), [
    'no node-silent: node edge-2',
  ]);
});

test('a configuration that is refused for five minutes, and keys that need somebody', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  const refusing = [member('edge-1'), member('edge-2', { refused: 'line 4: unknown key' })];
  assert.deepEqual(await watch.look(0, { members: refusing }), []);
  assert.deepEqual(await watch.look(5 * MINUTE, {}), ['config-refused: node edge-2']);
  assert.deepEqual(await watch.look(6 * MINUTE, { members: [member('edge-1')] }), ['no config-refused: node edge-2']);

  const waits = { problem: { text: 'the record is missing', since: 0, permanent: false } };
  assert.deepEqual(await watch.look(59 * MINUTE, having(waits)), []);
  assert.deepEqual(await watch.look(60 * MINUTE, having(waits)), ['key-stuck: key s1 of example.com']);
  assert.deepEqual(await watch.look(61 * MINUTE, having({})), ['no key-stuck: key s1 of example.com']);
  const refused = { problem: { text: 'REFUSED', since: 62 * MINUTE, permanent: true } };
  assert.deepEqual(await watch.look(62 * MINUTE, having(refused)), ['key-stuck: key s1 of example.com']);
  const exposed = { state: 'retired' as const, compromised: true as const };
  assert.deepEqual(await watch.look(63 * MINUTE, having(exposed)), [
    'key-exposed: key s1 of example.com',
    'no key-stuck: key s1 of example.com',
  ]);
});

test('a compromised key is out of DNS when a name server says so, not when DNS is silent', async () => {
  await using temp = await tempDir('alarms');
  const revoked = having({ state: 'revoked', compromised: true });
  {
    await using watch = await watcher(temp.path);
    assert.deepEqual(await watch.look(10 * MINUTE, { ...revoked, seen: undefined }), []);
    assert.deepEqual(await watch.look(11 * MINUTE, { seen: 'different' }), ['key-exposed: key s1 of example.com']);
    assert.deepEqual(await watch.look(12 * MINUTE, { seen: 'unreachable' }), []);
  }
  await using watch = await watcher(temp.path);
  assert.deepEqual(await watch.look(13 * MINUTE, { ...revoked, seen: undefined }), []);
  assert.deepEqual(await watch.look(14 * MINUTE, { seen: 'ok' }), ['no key-exposed: key s1 of example.com']);
});

test('an alarm that is raised again is another event, also where it holds since the same moment', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  const revoked = having({ state: 'revoked', compromised: true });
  for (const seen of ['different', 'ok', 'different', 'ok'] as const)
    assert.equal((await watch.look(11 * MINUTE, { ...revoked, seen })).length, 1);
  assert.equal(new Set(watch.ids).size, 4, watch.ids.join(' '));
});
