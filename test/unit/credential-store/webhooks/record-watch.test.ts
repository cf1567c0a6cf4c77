import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import type { CredentialRecord, KeyRecord } from '#services/credential-store/records/domain-record.ts';
import { RecordWatch, type RecordWatchDeps, type Turn } from '#services/credential-store/webhooks/record-watch.ts';
import { silentLogger } from '#shared/log.ts';
import { EVENT_DATA, type EventData, type WebhookEvent } from '#shared/webhooks/events.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Receiver, SECRET } from '#test/kit/webhooks/receiver.ts';
import { activeKey, startNode } from '#test/unit/credential-store/fixture.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

/** What webhooks hear of keys: from a real credential-store, and where several of them see the same changes. */

const hookFor = (receiver: Receiver, events: string[] = ['key.*', 'rotation.*']) => ({
  webhooks: [{ name: 'ops', url: receiver.url, secret: SECRET, events }],
});

/** `type selector` of what came, each once, in the order in which it happened. */
function story({ received }: Receiver): string[] {
  const events = received as unknown as { id: string; event: WebhookEvent & { timestamp: string } }[];
  for (const { event } of events) assert.doesNotThrow(() => EVENT_DATA[event.type].parse(event.data), event.type);
  return [...new Map(events.map((one) => [one.id, one.event])).values()]
    .toSorted((a, b) => (a.timestamp < b.timestamp ? -1 : Number(a.timestamp > b.timestamp)))
    .map(({ type, data }) => {
      const { selector, to } = data as Partial<EventData<'key.created'> & EventData<'rotation.started'>>;
      return `${type} ${selector ?? to?.join()}`;
    });
}

test('a key is told of in each state, a rotation at each step, and nothing again after a restart', async () => {
  await using temp = await tempDir('store');
  await using receiver = await Receiver.start();
  {
    await using node = await startNode(temp.path, { config: hookFor(receiver) });
    await activeKey(node, 's1');
    await node.calls['rotation-start']({ domain: 'example.com', to: ['s2'] });
    await waitFor(() => receiver.types.includes('key.deleted'), { what: 'the old key to be deleted', timeout: 30_000 });
  }
  const all = story(receiver);
  for (const selector of ['s1', 's2'])
    for (const state of ['created', 'replicated', 'published', 'proven', 'activated'])
      assert.ok(all.includes(`key.${state} ${selector}`), `${state} of ${selector}: ${all.join(', ')}`);
  for (const state of ['retiring', 'retired', 'revoked', 'deleted']) assert.ok(all.includes(`key.${state} s1`), state);
  for (const step of ['started', 'switched', 'completed']) assert.ok(all.includes(`rotation.${step} s2`), step);
  const before = receiver.received.length;

  await using again = await startNode(temp.path, { config: hookFor(receiver) });
  await again.calls['key-revoke']({ domain: 'example.com', selector: 's2', force: true });
  await waitFor(() => receiver.types.slice(before).includes('key.retired'), { what: 'the revocation' });
  const { data } = receiver.received.find(({ event }, n) => n >= before && event.type === 'key.retired')?.event ?? {};
  assert.equal((data as EventData<'key.retired'>).compromised, true);
  assert.ok(!receiver.types.slice(before).includes('key.created'));
});

test('of what was before the first webhook nothing is told', async () => {
  await using temp = await tempDir('store');
  await using receiver = await Receiver.start();
  {
    await using node = await startNode(temp.path);
    await activeKey(node, 's1');
  }
  await using node = await startNode(temp.path, { config: hookFor(receiver, ['key.activated']) });
  await activeKey(node, 's2');
  await receiver.first(1);
  assert.deepEqual(story(receiver), ['key.activated s2']);
});

const key = (selector: string, state: KeyRecord['state'], since: number): KeyRecord => ({
  ...{ selector, state, since, algorithm: 'ed25519', created: 1, fingerprint: `f-${selector}`, publicKey: 'p' },
  ...{ activate: true, signed: false, publication: { by: 'none' }, ttl: 60 },
});
const domain = (...keys: KeyRecord[]): CredentialRecord => ({ kind: 'domain', domain: 'example.com', keys, used: [] });

/** A map that a test changes, as each of several stores sees it. */
class FakeMap {
  readonly #values = new Map<string, CredentialRecord>();
  readonly #listeners = new Set<(keys: readonly string[]) => void>();

  readonly map: RecordWatchDeps['map'] = {
    get: (name) => {
      const value = this.#values.get(name);
      return value && { key: name, version: 1, value };
    },
    entries: () => [...this.#values].map(([name, value]) => ({ key: name, version: 1, value })),
    timeOf: () => new Date(7).toISOString(),
    onChange: (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
  };

  set(name: string, value: CredentialRecord | undefined): void {
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
    for (const listener of this.#listeners) listener([name]);
  }
}

async function watch(folder: string, map: FakeMap, leftMs: number) {
  const undo = new AsyncDisposableStack();
  const store = undo.adopt(await Store.open(folder, silentLogger), (opened) => opened.close());
  const told: WebhookEvent[] = [];
  const state: { turn: ReturnType<Turn> } = { turn: 'mine' };
  const made = await RecordWatch.open({
    ...{ store, settings: settingsFor(folder), log: silentLogger, map: map.map, leftMs, turn: () => state.turn },
    webhooks: {
      wants: () => true,
      prepare: (events) => ({ operations: [], written: () => void told.push(...events) }),
    },
  });
  undo.defer(() => made.close());
  const types = (): string[] => told.map(({ type, at }) => `${type} ${at}`);
  /** What is on disk of the only record. */
  const left = () => store.get('webhook-told!domain!example.com');
  return { state, told, types, left, [Symbol.asyncDispose]: () => undo.disposeAsync() };
}

test('the first store tells; where it is gone soon after, the next one does, with the same ids', async () => {
  await using temp = await tempDir('watch');
  const map = new FakeMap();
  await using first = await watch(`${temp.path}/a`, map, 60_000);
  await using second = await watch(`${temp.path}/b`, map, 60_000);
  second.state.turn = 'other';
  map.set('domain!example.com', domain(key('s1', 'created', 5)));
  await waitFor(() => first.told.length === 1, { what: 'the first to tell' });
  first.state.turn = undefined;
  map.set('domain!example.com', domain(key('s1', 'active', 6)));
  assert.deepEqual(second.told, []);
  second.state.turn = 'mine';
  await waitFor(() => second.told.length === 2, { what: 'the second to tell' });
  assert.deepEqual(second.types(), ['key.created 5', 'key.activated 6']);
  first.state.turn = 'mine';
  await waitFor(() => first.told.length === 2, { what: 'the first to come back' });
  assert.deepEqual(
    first.told.map(({ id }) => id),
    second.told.map(({ id }) => id),
  );
});

test('what another store has told is left to it, for good', async () => {
  await using temp = await tempDir('watch');
  const map = new FakeMap();
  await using store = await watch(temp.path, map, 50);
  store.state.turn = 'other';
  map.set('domain!example.com', domain(key('s1', 'active', 6)));
  await waitFor(() => store.left(), { what: 'the change to be left' });
  store.state.turn = 'mine';
  map.set('domain!example.com', domain(key('s1', 'retiring', 8)));
  await waitFor(() => store.told.length > 0, { what: 'the next change' });
  assert.deepEqual(store.types(), ['key.retiring 8']);
});

test('what was seen and not told before the end of a process is told by the next one', async () => {
  await using temp = await tempDir('watch');
  const map = new FakeMap();
  {
    await using store = await watch(temp.path, map, 60_000);
    map.set('domain!example.com', domain(key('s1', 'created', 5)));
    await waitFor(() => store.told.length === 1, { what: 'the first change' });
    store.state.turn = undefined;
    map.set('domain!example.com', domain(key('s1', 'active', 6)));
  }
  await using again = await watch(temp.path, map, 60_000);
  await waitFor(() => again.told.length === 1, { what: 'what was missed' });
  map.set('domain!example.com', undefined);
  await waitFor(() => again.told.length === 2, { what: 'the deletion' });
  assert.deepEqual(again.types(), ['key.activated 6', 'key.deleted 7']);
});
