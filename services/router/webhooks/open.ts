import type { Settings } from '#cluster/config/settings.ts';
import type { Store } from '#cluster/store.ts';
import { Alarms } from '#cluster/webhooks/alarms.ts';
import { Webhooks } from '#cluster/webhooks/webhooks.ts';
import type { Logger } from '#shared/log.ts';
import { MessageEvents } from './message-events.ts';
import { QueueAlarms, type QueueState } from './queue-alarms.ts';

/** What a router tells webhooks: what becomes of mail, and what is wrong with its queue. Rejects with `store-failed`. */
export async function openWebhooks(store: Store, { settings, log }: { settings: Settings; log: Logger }) {
  await using undo = new AsyncDisposableStack();
  const webhooks = undo.adopt(await Webhooks.open({ store, settings, log }), (opened) => opened.stop());
  const alarms = await Alarms.open({ store, settings, log, webhooks });
  const resources = undo.move();
  return {
    webhooks,
    events: new MessageEvents(webhooks, settings),
    /** Watch for alarms. */
    begin(state: () => Promise<QueueState | undefined>): void {
      resources.adopt(new QueueAlarms({ settings, alarms, webhooks, state }), (watching) => watching.stop());
    },
    stop: () => resources.disposeAsync(),
  };
}

/** The parts of a router that say how its queue is. */
type QueueParts = {
  slots: { counts: { deferred: number; hold: number } };
  corrupt: { count: number };
  copies: { status: { missing: number } | undefined };
  recovery: { done: boolean };
  store: Pick<Store, 'damage'>;
};

/** `refusing`: why it takes no mail. Undefined while the queue is still being read. */
export async function queueStateOf(
  { slots, corrupt, copies, recovery, store }: QueueParts,
  refusing: string | undefined,
): Promise<QueueState | undefined> {
  if (!recovery.done) return undefined;
  const { deferred, hold } = slots.counts;
  const damaged = corrupt.count + (await store.damage()).length;
  return { refusing, deferred, hold, damaged, missing: copies.status?.missing ?? 0 };
}
