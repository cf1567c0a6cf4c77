import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { Alarms } from '#cluster/webhooks/alarms.ts';
import type { Webhooks } from '#cluster/webhooks/webhooks.ts';
import { QueueAlarms, type QueueState } from '#services/router/webhooks/queue-alarms.ts';
import { silentLogger } from '#shared/log.ts';
import type { EventData, WebhookEvent } from '#shared/webhooks/events.ts';
import type { WebhookStatus } from '#shared/webhooks/status.ts';
import { tempDir } from '#test/kit/temp.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

const MINUTE = 60_000;
const WELL: QueueState = { deferred: 0, hold: 0, damaged: 0, missing: 0 };

/** A watcher over a store, and what it told. */
async function watcher(path: string) {
  const undo = new AsyncDisposableStack();
  const store = undo.adopt(await Store.open(`${path}/queue`, silentLogger), (opened) => opened.close());
  const settings = settingsFor(path);
  const told: string[] = [];
  const hooks: WebhookStatus[] = [];
  const webhooks = {
    wants: () => true,
    status: () => hooks,
    tell: async (events: readonly WebhookEvent[]) => {
      for (const { type, data } of events as WebhookEvent<'alarm.raised'>[])
        told.push(`${type} ${(data as EventData<'alarm.raised'>).alarm}`);
    },
  } as unknown as Webhooks;
  const alarms = await Alarms.open({ store, settings, log: silentLogger, webhooks });
  let state: QueueState | undefined = WELL;
  const watch = undo.adopt(new QueueAlarms({ settings, alarms, webhooks, state: async () => state }), (made) =>
    made.stop(),
  );
  const look = async (at: number, next: Partial<QueueState> | undefined): Promise<string[]> => {
    state = next && { ...WELL, ...next };
    told.length = 0;
    await watch.look(at);
    return [...told];
  };
  return { look, hooks, [Symbol.asyncDispose]: () => undo.disposeAsync() };
}

test('an alarm is raised when it has lasted, once, and cleared when it is over', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  for (const [name, wrong, ms] of [
    ['queue-refusing', { refusing: 'the disk is full' }, MINUTE],
    ['queue-long', { deferred: 1001 }, 15 * MINUTE],
    ['mail-held', { hold: 1 }, 60 * MINUTE],
    ['mail-damaged', { damaged: 1 }, 0],
    ['copies-missing', { missing: 1 }, 5 * MINUTE],
  ] as const) {
    if (ms > 0) assert.deepEqual(await watch.look(0, wrong), [], name);
    if (ms > 0) assert.deepEqual(await watch.look(ms - 1, wrong), [], name);
    assert.deepEqual(await watch.look(ms, wrong), [`alarm.raised ${name}`], name);
    assert.deepEqual(await watch.look(ms + MINUTE, wrong), [], name);
    assert.deepEqual(await watch.look(ms + 2 * MINUTE, {}), [`alarm.cleared ${name}`], name);
    assert.deepEqual(await watch.look(ms + 3 * MINUTE, {}), [], name);
  }
});

test('a queue that goes up and down is one alarm, and what holds for moments is none', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  await watch.look(0, { deferred: 1500 });
  assert.deepEqual(await watch.look(14 * MINUTE, { deferred: 700 }), []);
  assert.deepEqual(await watch.look(15 * MINUTE, { deferred: 1500 }), []);
  assert.deepEqual(await watch.look(30 * MINUTE, { deferred: 900 }), ['alarm.raised queue-long']);
  assert.deepEqual(await watch.look(31 * MINUTE, { deferred: 801 }), []);
  assert.deepEqual(await watch.look(32 * MINUTE, { deferred: 800 }), ['alarm.cleared queue-long']);
});

test('a restart neither raises an alarm again nor forgets to clear it', async () => {
  await using temp = await tempDir('alarms');
  {
    await using watch = await watcher(temp.path);
    await watch.look(0, { hold: 1, deferred: 1500 });
    assert.deepEqual(await watch.look(15 * MINUTE, { hold: 1, deferred: 1500 }), ['alarm.raised queue-long']);
    assert.deepEqual(await watch.look(60 * MINUTE, { hold: 1, deferred: 1500 }), ['alarm.raised mail-held']);
  }
  await using watch = await watcher(temp.path);
  // The queue is still being read.
  assert.deepEqual(await watch.look(61 * MINUTE, undefined), []);
  assert.deepEqual(await watch.look(62 * MINUTE, { hold: 1, deferred: 900 }), []);
  assert.deepEqual(await watch.look(63 * MINUTE, { deferred: 900 }), ['alarm.cleared mail-held']);
  assert.deepEqual(await watch.look(64 * MINUTE, {}), ['alarm.cleared queue-long']);
});

test('a webhook that takes nothing for an hour, or is paused, is an alarm for the others', async () => {
  await using temp = await tempDir('alarms');
  await using watch = await watcher(temp.path);
  const hook = { name: 'ops', waiting: 1, sent: 0, dropped: 0 };
  watch.hooks.push({ ...hook, failing: { since: 0, tries: 9, next: 0 }, lastError: { at: 0, text: 'it answers 500' } });
  assert.deepEqual(await watch.look(59 * MINUTE, {}), []);
  assert.deepEqual(await watch.look(60 * MINUTE, {}), ['alarm.raised webhook-failing']);
  watch.hooks[0] = { ...hook, paused: { at: 60 * MINUTE } };
  assert.deepEqual(await watch.look(61 * MINUTE, {}), []);
  watch.hooks[0] = hook;
  assert.deepEqual(await watch.look(62 * MINUTE, {}), ['alarm.cleared webhook-failing']);
});
