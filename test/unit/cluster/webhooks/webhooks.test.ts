import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { Store } from '#cluster/store.ts';
import { Webhooks } from '#cluster/webhooks/webhooks.ts';
import { newQueueId } from '#shared/ids.ts';
import type { WebhookEvent } from '#shared/webhooks/events.ts';
import type { WebhookStatus } from '#shared/webhooks/status.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';
import { OTHER_SECRET, type Reaction, Receiver, SECRET } from '#test/kit/webhooks/receiver.ts';

/** What is kept for webhooks, and sent to a real receiver. */

const TIMES = { firstWaitMs: 20, tickMs: 20 };
const DAY_MS = 86_400_000;

type Hook = { name?: string; url: string } & Record<string, unknown>;

class Site implements AsyncDisposable {
  readonly log = logLines();
  readonly settings: Settings;
  /** Of the events that are written, in place of this moment. */
  now: number | undefined;
  store!: Store;
  webhooks!: Webhooks;

  private constructor(hooks: readonly Hook[]) {
    this.settings = new Settings(configOf(hooks));
  }

  static async start(folder: string, hooks: readonly Hook[], mostWaiting?: number): Promise<Site> {
    const site = new Site(hooks);
    site.store = await Store.open(join(folder, 'queue'), site.log.log);
    const { store, settings } = site;
    const now = (): number => site.now ?? Date.now();
    site.webhooks = await Webhooks.open({ store, settings, log: site.log.log, ...TIMES, mostWaiting, now });
    return site;
  }

  configure(hooks: readonly Hook[]): void {
    this.settings.replace(configOf(hooks));
  }

  /** Write an event as a service does. */
  async happens(event: Partial<WebhookEvent> = {}): Promise<string> {
    const data = {
      alarm: 'bus-away',
      about: 'x',
      node: 'edge-1',
      text: '',
      help: '',
      since: new Date(0).toISOString(),
    };
    const made = { id: newQueueId(), type: 'alarm.raised', at: Date.now(), data, ...event } as WebhookEvent;
    const { operations, written } = this.webhooks.prepare([made]);
    if (operations.length > 0) await this.store.write(operations);
    written();
    return made.id;
  }

  status(name = 'ops'): WebhookStatus {
    const found = this.webhooks.status().find((one) => one.name === name);
    return found ?? assert.fail(`no webhook ${name}`);
  }

  lines(text: RegExp) {
    return this.log.lines().filter(({ msg }) => text.test(msg));
  }

  /** Records of events on disk. */
  async records(): Promise<string[]> {
    return Array.fromAsync(this.store.keys({ gte: 'webhook!', lt: 'webhook"' }));
  }

  async idle(): Promise<void> {
    await waitFor(async () => (await this.records()).length === 0, { what: 'all events to be sent and deleted' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.webhooks.stop();
    await this.store.close();
  }
}

function configOf(hooks: readonly Hook[]) {
  const webhooks = hooks.map((hook) => ({ name: 'ops', secret: SECRET, events: ['alarm.*'], timeout: '2s', ...hook }));
  return ConfigSchema.parse({ webhooks });
}

async function site(react?: () => Reaction, more: Partial<Hook> = {}) {
  const resources = new AsyncDisposableStack();
  const folder = resources.use(await tempDir('webhooks'));
  const receiver = resources.use(await Receiver.start());
  if (react !== undefined) receiver.react = react;
  const hook = { url: receiver.url, ...more };
  const made = resources.use(await Site.start(folder.path, [hook]));
  return {
    ...{ folder: folder.path, receiver, hook, site: made },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

test('an event is sent once, signed, and forgotten when it was taken', async () => {
  await using all = await site();
  const id = await all.site.happens();
  const [received] = await all.receiver.first(1);
  assert.equal(received?.id, id);
  assert.equal(received?.headers['content-type'], 'application/json');
  assert.match(received?.headers['user-agent'] ?? '', /^Sealpost\//);
  await all.site.idle();
  assert.deepEqual(all.receiver.types, ['alarm.raised']);
  const { waiting, sent, lastSuccess, failing } = all.site.status();
  assert.deepEqual([waiting, sent, failing], [0, 1, undefined]);
  assert.ok(lastSuccess !== undefined && Date.now() - lastSuccess < 10_000);
});

test('what a receiver does not take is tried again, with the same id, until it does', async () => {
  for (const [name, reaction, error] of [
    ['an error', { status: 500, body: 'out of\norder' }, /answers 500: out of\?order/],
    ['a redirect', { status: 302, headers: { location: '/elsewhere' } }, /answers 302, and redirects are not followed/],
    ['a connection that is cut', 'reset', /socket hang up|ECONNRESET|closes the connection/],
    ['a request that is not understood', { status: 400 }, /answers 400/],
  ] as const) {
    let left = 3;
    await using all = await site(() => (left-- > 0 ? reaction : { status: 200 }));
    const id = await all.site.happens();
    const received = await all.receiver.first(4);
    assert.deepEqual(
      received.map((one) => one.id),
      [id, id, id, id],
      name,
    );
    await all.site.idle();
    assert.match(all.site.status().lastError?.text ?? '', error, name);
    assert.equal(all.site.lines(/does not take events/).length, 3, name);
    assert.equal(all.site.lines(/takes events again/).length, 1, name);
  }
});

test('a receiver that hangs costs the time of its timeout, and one event is tried at a time', async () => {
  let hangs = true;
  await using all = await site(() => (hangs ? 'hang' : { status: 200 }), { timeout: '100ms' });
  await all.site.happens();
  await all.receiver.first(2);
  const before = all.receiver.received.length;
  for (let n = 0; n < 20; n++) await all.site.happens();
  await all.receiver.first(before + 1);
  assert.match(all.site.status().lastError?.text ?? '', /no answer within 0.1 s/);
  assert.ok(all.receiver.received.length < before + 5, `${all.receiver.received.length - before} at once`);
  hangs = false;
  await all.site.idle();
  assert.equal(new Set(all.receiver.received.map(({ id }) => id)).size, 21);
});

test('an answer without end counts by its status, and is not read', async () => {
  await using all = await site(() => 'endless');
  await all.site.happens();
  await all.site.happens();
  await all.receiver.first(2);
  await all.site.idle();
  assert.equal(all.site.status().failing, undefined);
});

test('an event that is never taken does not keep the others from it', async () => {
  let bad = '';
  await using all = await site();
  all.receiver.react = ({ id }) => ({ status: id === bad ? 422 : 200 });
  bad = newQueueId();
  await all.site.happens({ id: bad });
  for (let n = 0; n < 50; n++) await all.site.happens();
  await waitFor(() => all.site.status().sent === 50, { what: 'the other events' });
  assert.equal(all.site.status().waiting, 1);
});

test('Retry-After is obeyed', async () => {
  let asked = false;
  await using all = await site(() => {
    if (asked) return { status: 200 };
    asked = true;
    return { status: 503, headers: { 'retry-after': '2' } };
  });
  const began = performance.now();
  await all.site.happens();
  await all.receiver.first(2);
  assert.ok(performance.now() - began >= 2000, 'it came too early');
});

test('410 pauses a webhook, over restarts too, until an operator or another URL ends it', async () => {
  await using all = await site(() => ({ status: 410 }));
  const first = await all.site.happens();
  await waitFor(() => all.site.status().paused, { what: 'the pause' });
  assert.equal(all.site.lines(/paused: its receiver is gone/).length, 1);
  const second = await all.site.happens();
  await all.site[Symbol.asyncDispose]();

  all.receiver.react = () => ({ status: 200 });
  {
    await using again = await Site.start(all.folder, [all.hook]);
    assert.ok(again.status().paused !== undefined);
    assert.equal(again.status().waiting, 2);
    assert.equal(again.webhooks.retry('ops'), 2);
    await again.idle();
    assert.deepEqual(new Set(all.receiver.received.map(({ id }) => id)), new Set([first, second]));
    assert.equal(again.status().paused, undefined);
    all.receiver.react = () => ({ status: 410 });
    await again.happens();
    await waitFor(() => again.status().paused, { what: 'the second pause' });
  }
  await using other = await Receiver.start();
  {
    await using moved = await Site.start(all.folder, [{ ...all.hook, url: other.url }]);
    await other.first(1);
    assert.equal(moved.status().paused, undefined);
  }
  await using back = await Site.start(all.folder, [all.hook]);
  assert.equal(back.status().paused, undefined);
});

test('what was not sent before the end of a process is sent by the next one, the oldest first', async () => {
  await using all = await site(() => ({ status: 500 }));
  const ids: string[] = [];
  for (let n = 0; n < 20; n++) ids.push(await all.site.happens());
  await all.site[Symbol.asyncDispose]();
  all.receiver.received.length = 0;
  all.receiver.react = () => ({ status: 200 });
  await using again = await Site.start(all.folder, [all.hook]);
  await again.idle();
  assert.deepEqual(all.receiver.received.map(({ id }) => id).toSorted(), ids.toSorted());
});

test('events are given up after a day, and the oldest one where too many wait', async () => {
  await using temp = await tempDir('webhooks');
  await using receiver = await Receiver.start();
  receiver.react = () => ({ status: 500, headers: { 'retry-after': '600' } });
  await using made = await Site.start(temp.path, [{ url: receiver.url }], 5);
  made.now = Date.now() - DAY_MS - 1000;
  const old = await made.happens();
  made.now = undefined;
  await waitFor(() => made.status().dropped === 1, { what: 'the old event to be given up' });
  await waitFor(async () => !(await made.records()).some((key) => key.includes(old)), { what: 'its deletion' });
  const ids: string[] = [];
  for (let n = 0; n < 8; n++) ids.push(await made.happens());
  const { waiting, dropped } = made.status();
  assert.deepEqual([waiting, dropped], [5, 4]);
  assert.ok((made.status().lastDropped ?? 0) > 0);
  assert.equal((await made.records()).filter((key) => ids.slice(3).some((id) => key.includes(id))).length, 5);
  assert.equal(made.lines(/too many wait/).length, 1);
  assert.equal(made.lines(/could not be sent in a day/).length, 1);
});

test('what happened long ago and is made known now is not too old', async () => {
  await using all = await site();
  await all.site.happens({ at: Date.now() - 30 * DAY_MS });
  await all.receiver.first(1);
  assert.equal(all.site.status().dropped, 0);
});

test('a webhook hears of the types and domains that it wants', async () => {
  await using temp = await tempDir('webhooks');
  await using one = await Receiver.start();
  await using two = await Receiver.start();
  await using made = await Site.start(temp.path, [
    { name: 'one', url: one.url, events: ['alarm.cleared', 'key.*'], domains: ['example.com'] },
    { name: 'two', url: two.url, events: ['alarm.raised'] },
  ]);
  assert.deepEqual(
    (['alarm.raised', 'key.revoked', 'message.delivered'] as const).map((type) => made.webhooks.wants(type)),
    [true, true, false],
  );
  await made.happens({ type: 'alarm.cleared', domains: ['other.example', 'mail.example.com'] });
  await made.happens({ type: 'alarm.cleared', domains: ['notexample.com'] });
  await made.happens({ type: 'alarm.cleared' });
  await made.happens({ type: 'alarm.raised', domains: ['other.example'] });
  await made.happens({ type: 'message.delivered' });
  await made.idle();
  assert.deepEqual([one.types, two.types], [['alarm.cleared', 'alarm.cleared'], ['alarm.raised']]);
});

test('nothing is kept for a webhook that leaves the configuration', async () => {
  await using all = await site(() => ({ status: 500 }));
  await all.site.happens();
  all.site.configure([]);
  assert.equal(all.site.webhooks.wants('alarm.raised'), false);
  await all.site.idle();
  await all.site.happens();
  assert.deepEqual(await all.site.records(), []);
  all.site.configure([all.hook]);
  await all.site.happens();
  await all.site[Symbol.asyncDispose]();
  await using without = await Site.start(all.folder, []);
  await without.idle();
  assert.equal(without.lines(/not in the configuration any more/).length, 1);
});

test('while a secret is replaced receivers may know either', async () => {
  await using temp = await tempDir('webhooks');
  await using former = await Receiver.start({ secret: SECRET });
  await using next = await Receiver.start({ secret: OTHER_SECRET });
  const secrets = { secret: OTHER_SECRET, 'previous-secret': SECRET };
  const hooks = [former, next].map(({ url }, n) => ({ name: `hook-${n}`, url, ...secrets }));
  await using made = await Site.start(temp.path, hooks);
  await made.happens();
  await made.idle();
  assert.deepEqual(
    [former, next].map(({ received, refused }) => [received.length, refused.length]),
    [
      [1, 0],
      [1, 0],
    ],
  );
});

test('the certificate of a receiver is verified, with `ca` by its authorities', async () => {
  await using temp = await tempDir('webhooks');
  const ca = await issue('Hooks CA', { ca: true });
  const file = join(temp.path, 'ca.pem');
  await writeFile(file, ca.certificate);
  const right = await issue('localhost', { by: ca, names: ['localhost'] });
  const other = await issue('other.example', { by: ca, names: ['other.example'] });
  for (const [tls, hook, error] of [
    [right, { ca: file }, undefined],
    [right, {}, /unable to verify the first certificate/],
    [other, { ca: file }, /does not match certificate's altnames/],
    [right, { ca: join(temp.path, 'missing.pem') }, /ENOENT/],
  ] as const) {
    await using receiver = await Receiver.start({ tls });
    await using folder = await tempDir('webhooks');
    await using made = await Site.start(folder.path, [{ url: receiver.url, ...hook }]);
    await made.happens();
    if (error === undefined) await receiver.first(1);
    else {
      const { text } = await waitFor(() => made.status().lastError, { what: 'the failure' });
      assert.match(text, error);
      assert.equal(receiver.received.length, 0);
    }
  }
});

test('a connection that the receiver closed while it was idle is not taken for a failure', async () => {
  await using all = await site();
  await all.site.happens();
  await all.receiver.first(1);
  for (let n = 2; n < 8; n++) {
    // The next request is written to a connection that is just being closed.
    all.receiver.closeConnections();
    await all.site.happens();
    await all.receiver.first(n);
  }
  assert.equal(all.site.status().lastError, undefined);
});

test('a test shows the answer, whatever the state of the webhook, and changes nothing', async () => {
  await using all = await site(() => ({ status: 410, body: `gone ${'x'.repeat(10_000)}` }));
  const { id, status, body = '' } = await all.site.webhooks.test('ops');
  assert.deepEqual([status, body.length, body.slice(0, 6)], [410, 2048, 'gone x']);
  assert.deepEqual(
    all.receiver.received.map((one) => [one.id, one.event.type]),
    [[id, 'webhook.test']],
  );
  assert.equal(all.site.status().paused, undefined);
  await all.receiver[Symbol.asyncDispose]();
  assert.match((await all.site.webhooks.test('ops')).error ?? '', /ECONNREFUSED/);
  await assert.rejects(all.site.webhooks.test('other'), /there is no webhook "other".*there is: ops/);
  assert.throws(() => all.site.webhooks.retry('other'), /there is no webhook/);
});

test('an event is sent also where the disk takes nothing', async () => {
  await using all = await site();
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  const { webhooks, store } = all.site;
  store.write = () => Promise.reject(full);
  const data = {
    alarm: 'queue-refusing',
    about: 'x',
    node: 'edge-1',
    text: '',
    help: '',
    since: new Date(0).toISOString(),
  };
  await webhooks.tell([{ id: 'a', type: 'alarm.raised', at: Date.now(), data } as WebhookEvent]);
  await all.receiver.first(1);
  assert.equal(all.site.lines(/could not be written/).length, 1);
});
