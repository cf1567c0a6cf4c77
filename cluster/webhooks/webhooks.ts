import { withParents } from '#shared/address/domains.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { newQueueId, queueIdFloor } from '#shared/ids.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import type { Logger } from '#shared/log.ts';
import { bodyOf, type EventType, typesOf, type WebhookEvent } from '#shared/webhooks/events.ts';
import type { TestResult, WebhookStatus } from '#shared/webhooks/status.ts';
import type { WebhookConfig } from '../config/schema/webhooks/entry.ts';
import type { Settings } from '../config/settings.ts';
import type { Store, StoreOperation } from '../store.ts';
import { Hook, type HookDeps } from './hook.ts';
import { deletePaused, putPaused, readPaused } from './paused.ts';
import { EVENTS_RANGE, keyOf, webhookIn } from './waiting.ts';

/**
 * Tells the webhooks of the configuration what happens (docs/operate/webhooks.md), at least once each, in the form of Standard
 * Webhooks.
 *
 * Two services have events to tell, each of what it keeps in a store of its own: the router of what becomes of mail, the
 * credential-store of keys and certificates; both raise alarms. Each has one of these, with an outbox in that store:
 *
 *   webhook!<name>!<time>!<event>   an event that this webhook was not told yet: the body of the request; the time is when it
 *                                   was written, since what happened may be made known late
 *   webhook-paused!<name>           its receiver is gone (410)
 *
 * An event is written in the batch that makes true what it tells: `prepare` gives the operations, and `written` has it sent.
 * So it is lost only with the store, and what was sent is sent again where the process was killed before it was deleted here;
 * it has the same id then. Where no webhook wants a type of event, nothing is made of it (`wants`).
 *
 * `MOST_WAITING` events wait for a webhook at most; then the oldest are given up. hook.ts has how they are sent.
 */

const MOST_WAITING = 100_000;
const TICK_MS = 1000;
/** What was sent is deleted together with what else was sent meanwhile. */
const DELETE_MS = 100;
/** Records deleted in one write. */
const BATCH = 1000;

export type WebhooksDeps = {
  store: Store;
  settings: Settings;
  log: Logger;
  /** Of the first back-off and between two looks, and how many events may wait, where these are not the usual ones. */
  firstWaitMs?: number | undefined;
  tickMs?: number | undefined;
  mostWaiting?: number | undefined;
  /** ms since 1970 */
  now?: () => number;
};

/** Events that are to be written: `operations` first, then `written`; `unsaved`: the disk took them not. */
export type Prepared = { operations: StoreOperation[]; written(unsaved?: true): void };

type Wanting = { hook: Hook; name: string; types: ReadonlySet<EventType>; domains: ReadonlySet<string> };

export class Webhooks {
  readonly #deps: WebhooksDeps;
  readonly #hooks = new Map<string, Wanting>();
  #wanted: ReadonlySet<EventType> = new Set();
  #configured: readonly WebhookConfig[] = [];
  #done: string[] = [];
  #deleting: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  readonly #stopFollowing: () => void;
  readonly #floods = new LimitedLog();

  private constructor(deps: WebhooksDeps) {
    this.#deps = deps;
    this.#stopFollowing = deps.settings.onChange(({ webhooks }) => this.#follow(webhooks, new Map()));
  }

  /** With what an earlier process left to be sent. Rejects with `store-failed`. */
  static async open(deps: WebhooksDeps): Promise<Webhooks> {
    const webhooks = new Webhooks(deps);
    await webhooks.#load();
    return webhooks;
  }

  /** Whether a webhook wants events of this type. */
  wants(type: EventType): boolean {
    return this.#wanted.has(type);
  }

  /** What writes these events for the webhooks that want them. Nothing may be awaited between this and the write. */
  prepare(events: readonly WebhookEvent[]): Prepared {
    const operations: StoreOperation[] = [];
    const added: { hook: Hook; key: string; body: string }[] = [];
    const { now = Date.now, mostWaiting = MOST_WAITING } = this.#deps;
    const time = queueIdFloor(now());
    for (const event of events) {
      let body: string | undefined;
      for (const { hook, name, types, domains } of this.#hooks.values()) {
        if (!types.has(event.type) || !isAbout(domains, event.domains)) continue;
        body ??= bodyOf(event);
        const key = keyOf(name, time, event.id);
        operations.push({ type: 'put', key, value: Buffer.from(body) });
        added.push({ hook, key, body });
        if (hook.size >= mostWaiting) this.#makeRoom(name, hook, operations);
      }
    }
    return {
      operations,
      written: (unsaved) => {
        for (const { hook, key, body } of added) hook.add(key, body, unsaved);
      },
    };
  }

  /** Write events that belong to no other write. Where the disk takes none, they are sent from memory. Never rejects. */
  async tell(events: readonly WebhookEvent[]): Promise<void> {
    const { operations, written } = this.prepare(events);
    if (operations.length === 0) return;
    try {
      await this.#deps.store.write(operations);
      written();
    } catch (error) {
      const text = 'events for webhooks could not be written: they are sent as long as this process lives';
      this.#deps.log.warn({ events: events.map(({ type }) => type), error: errorText(error) }, text);
      written(true);
    }
  }

  /** In the order of the configuration. */
  status(): WebhookStatus[] {
    return this.#configured.flatMap(({ name }) => this.#hooks.get(name)?.hook.status ?? []);
  }

  /** Send what waits for it now. Answers how much that is. Throws `not-found`. */
  retry(name: string): number {
    const { hook } = this.#find(name);
    hook.retry();
    return hook.size;
  }

  /** Post an event for a test. Rejects with `not-found`. */
  async test(name: string): Promise<TestResult> {
    const { hook } = this.#find(name);
    const at = Date.now();
    const id = `test_${newQueueId(at)}`;
    const data = { node: this.#deps.settings.current.node.name, webhook: name };
    return hook.test(id, bodyOf({ id, type: 'webhook.test', at, data }));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopFollowing();
    clearInterval(this.#timer);
    await Promise.all([...this.#hooks.values()].map(({ hook }) => hook.stop()));
    this.#floods.close();
    // On a disk that stays broken this would never end: then it is sent again, and deleted after that.
    if (this.#deps.store.failure !== undefined) return;
    await this.#deleting;
    await this.#delete();
  }

  #find(name: string): Wanting {
    const found = this.#hooks.get(name);
    if (found !== undefined) return found;
    const known = this.#configured.map((one) => one.name).join(', ') || 'none';
    throw new SealpostError('not-found', `there is no webhook "${name}" in webhooks of this node; there is: ${known}`);
  }

  async #load(): Promise<void> {
    const { store, log, settings } = this.#deps;
    const left = new Map<string, string[]>();
    try {
      for await (const key of store.keys(EVENTS_RANGE)) {
        const name = webhookIn(key);
        const keys = left.get(name);
        if (keys === undefined) left.set(name, [key]);
        else keys.push(key);
      }
    } catch (error) {
      log.error({ error: errorText(error) }, 'some events for webhooks cannot be read: they are not sent');
    }
    const { webhooks } = settings.current;
    this.#follow(webhooks, await readPaused(store, webhooks));
    for (const [name, keys] of left) {
      const hook = this.#hooks.get(name)?.hook;
      if (hook === undefined) this.#forget(name, keys);
      else for (const key of keys) hook.add(key, undefined);
    }
  }

  /** Put a configuration in force. `paused`: since when each of those is that were before the start. */
  #follow(next: readonly WebhookConfig[], paused: ReadonlyMap<string, number>): void {
    const names = new Set(next.map(({ name }) => name));
    for (const [name, { hook }] of this.#hooks) {
      if (names.has(name)) continue;
      this.#hooks.delete(name);
      this.#forget(name, hook.close());
      this.#deps.store.persist([deletePaused(name)]).catch(() => undefined);
    }
    for (const config of next) {
      const { name } = config;
      const hook = this.#hooks.get(name)?.hook ?? new Hook(config, this.#hookDeps(config), paused.get(name));
      this.#hooks.set(name, { hook, name, types: typesOf(config.events), domains: new Set(config.domains) });
      hook.configure(config);
    }
    this.#configured = next;
    this.#wanted = new Set([...this.#hooks.values()].flatMap(({ types }) => [...types]));
    clearInterval(this.#timer);
    if (next.length > 0) this.#timer = setInterval(() => this.#tick(), this.#deps.tickMs ?? TICK_MS).unref();
  }

  #hookDeps({ name }: WebhookConfig): HookDeps {
    const { store, log, firstWaitMs } = this.#deps;
    return {
      ...{ log, firstWaitMs },
      read: async (key) => (await store.get(key))?.toString(),
      done: (key) => {
        this.#done.push(key);
        if (!this.#stopped) this.#deleting ??= this.#deleteSoon();
      },
      onPaused: (at) => {
        const { url } = this.#configured.find((one) => one.name === name) ?? { url: '' };
        store.persist([at === undefined ? deletePaused(name) : putPaused({ name, url }, at)]).catch(() => undefined);
      },
    };
  }

  #tick(): void {
    for (const { hook } of this.#hooks.values()) hook.tick();
  }

  #makeRoom(name: string, hook: Hook, operations: StoreOperation[]): void {
    const key = hook.dropOldest();
    if (key === undefined) return;
    operations.push({ type: 'del', key });
    this.#floods.say(name, (repeated) =>
      this.#deps.log.error(
        { webhook: name, waiting: hook.size, ...repeated },
        'an event for a webhook is given up: too many wait, and it was the oldest',
      ),
    );
  }

  /** A webhook that is not in the configuration any more gets nothing. */
  #forget(name: string, keys: readonly string[]): void {
    if (keys.length === 0) return;
    const text = 'events are not sent: the webhook that they were for is not in the configuration any more';
    this.#deps.log.warn({ webhook: name, events: keys.length }, text);
    this.#done.push(...keys);
    this.#deleting ??= this.#deleteSoon();
  }

  async #deleteSoon(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, DELETE_MS));
    await this.#delete();
    this.#deleting = this.#done.length > 0 && !this.#stopped ? this.#deleteSoon() : undefined;
  }

  /** Never rejects. */
  async #delete(): Promise<void> {
    while (this.#done.length > 0) {
      const keys = this.#done.splice(0, BATCH);
      try {
        await this.#deps.store.persist(keys.map((key) => ({ type: 'del', key })));
      } catch (error) {
        const text = 'the store was closed before sent events were deleted: webhooks get them again';
        this.#deps.log.info({ events: keys.length, error: errorText(error) }, text);
      }
    }
  }
}

/** Whether one of the domains of an event, or one above it, is among those that a webhook wants. */
function isAbout(wanted: ReadonlySet<string>, domains: readonly string[] | undefined): boolean {
  if (domains === undefined || wanted.has('*')) return true;
  return domains.some((domain) => [...withParents(domain)].some((name) => wanted.has(name)));
}
