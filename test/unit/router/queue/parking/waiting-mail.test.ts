import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Store } from '#cluster/store.ts';
import { reply } from '#shared/mail/reply.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, OK, type StartOptions, TestRouter } from '#test/unit/router/fixture.ts';

/** A router whose next hops are dead until the test says otherwise, as delivery treats them. */

const DEAD = reply(451, '4.4.1', 'cannot connect to mx.peer.example: connection refused');
const times = { first: 50, max: 50 };
const HOUR_MS = 3_600_000;

class Peers {
  readonly router: TestRouter;
  readonly alive = new Set<string>();
  /** By next hop: connections that were tried. */
  readonly tried: string[] = [];
  /** What came where, by queue id and recipient. */
  readonly arrived: string[] = [];
  pauseMs: number;

  constructor(router: TestRouter, pauseMs: number) {
    this.router = router;
    this.pauseMs = pauseMs;
    const { delivery } = router;
    delivery.automatic = async (given) => {
      const { key } = given.hop;
      if (given.job.urgent === true) delivery.pauses.delete(key);
      const paused = delivery.pauseOf(key) !== undefined;
      if (!paused) this.tried.push(key);
      if (this.alive.has(key)) {
        await given.content();
        this.arrived.push(`${given.job.queueId} ${given.to.join()} ${key}`);
        return given.end('delivered', OK);
      }
      const until = performance.now() + this.pauseMs;
      if (!paused) delivery.pauses.set(key, { until, at: Date.now(), reply: DEAD, host: undefined });
      return given.end('deferred', DEAD);
    };
  }

  triedAt(key: string): number {
    return this.tried.filter((one) => one === key).length;
  }
}

async function start(folder: string, pauseMs: number, options: StartOptions = {}) {
  let peers: Peers | undefined;
  const prepare = (router: TestRouter): void => {
    peers = new Peers(router, pauseMs);
  };
  const router = await TestRouter.start(folder, { times, prepare, ...options });
  assert.ok(peers !== undefined);
  return { router, peers, [Symbol.asyncDispose]: () => router.stop() };
}

/** How often messages are read, and recipients are written, from now on. */
function countWork(t: TestContext) {
  const reads = t.mock.method(Store.prototype, 'get').mock;
  const writes = t.mock.method(Store.prototype, 'persist').mock;
  return {
    reads: () => reads.calls.filter(({ arguments: [key] }) => key.startsWith('message!')).length,
    writes: () =>
      writes.calls
        .flatMap(({ arguments: [operations] }) => operations)
        .filter(({ key }) => key.startsWith('recipient!')).length,
  };
}

const send = (router: TestRouter, to: string[], n = 1): Promise<string[]> =>
  Promise.all(Array.from({ length: n }, () => router.send({ envelope: envelope(to) })));

const deferred = async (router: TestRouter, count: number): Promise<void> => {
  await waitFor(async () => (await router.status()).deferred === count, { what: `${count} deferred messages` });
};

test('mail for a dead next hop costs the work of one message each time that it is tried', async (t) => {
  await using folder = await tempDir();
  await using site = await start(folder.path, 150);
  const { router, peers } = site;
  await send(router, ['bob@dead.example'], 20);
  await deferred(router, 20);
  // Those that came before it was known to be dead, and one for each time that it was tried.
  await waitFor(() => peers.triedAt('mx:dead.example') >= 3, { what: 'some attempts' });
  const work = countWork(t);
  const before = peers.tried.length;
  await waitFor(() => peers.tried.length >= before + 6, { what: 'more attempts' });
  const tried = peers.tried.length - before;
  assert.ok(work.reads() <= tried + 1, `${work.reads()} reads for ${tried} attempts`);
  assert.ok(work.writes() <= tried + 1, `${work.writes()} writes for ${tried} attempts`);

  peers.alive.add('mx:dead.example');
  await waitFor(() => peers.arrived.length === 20, { what: 'all mail' });
  await waitFor(async () => (await router.status()).deferred === 0, { what: 'an empty queue' });
  assert.equal(new Set(peers.arrived).size, 20);
});

test('after a start one message finds out whether its next hop is back, the others are not read', async (t) => {
  await using folder = await tempDir();
  {
    await using site = await start(folder.path, HOUR_MS);
    await send(site.router, ['bob@dead.example'], 10);
    await deferred(site.router, 10);
  }
  const work = countWork(t);
  await using site = await start(folder.path, 300);
  await waitFor(() => site.peers.tried.length === 2, { what: 'a second attempt' });
  assert.ok(work.reads() <= 2, `${work.reads()} reads`);
  site.peers.alive.add('mx:dead.example');
  await waitFor(() => site.peers.arrived.length === 10, { what: 'all mail' });
});

test('the sender of mail that waits for its next hop hears that it is late, once, and that it expired', async () => {
  await using folder = await tempDir();
  const lasting = { ...times, delayNotice: 700, expire: 1800 };
  await using site = await start(folder.path, HOUR_MS, { times: lasting });
  const { router, peers } = site;
  peers.alive.add('mx:sender.example');
  const began = Date.now();
  const notices = (): number => peers.arrived.filter((one) => one.includes('alice@sender.example')).length;
  const [id = ''] = await send(router, ['bob@dead.example']);
  await waitFor(() => notices() === 1, { what: 'the notice of the delay' });
  assert.ok(Date.now() - began < 1700, `told after ${Date.now() - began} ms`);
  await waitFor(() => notices() === 2, { what: 'the notice of the failure' });
  assert.ok(Date.now() - began < 4000, `given up after ${Date.now() - began} ms`);
  assert.deepEqual(
    (await router.show(id)).entry.recipients.map(({ status }) => status.state),
    ['expired'],
  );
  assert.equal(peers.triedAt('mx:dead.example'), 1);
});

test('mail whose last attempt comes at the end of its life expires then, though its next hop backs off', async () => {
  await using folder = await tempDir();
  const lasting = { first: HOUR_MS, max: HOUR_MS, delayNotice: 0, expire: 1000 };
  await using site = await start(folder.path, HOUR_MS, { times: lasting });
  const { router, peers } = site;
  peers.alive.add('mx:sender.example');
  await send(router, ['bob@dead.example'], 3);
  await deferred(router, 3);
  await waitFor(() => peers.arrived.length === 3, { timeout: 5000, what: 'the notices of the failure' });
});

test('mail that expired while its router was away is returned after the start', async () => {
  await using folder = await tempDir();
  {
    await using site = await start(folder.path, HOUR_MS);
    await send(site.router, ['bob@dead.example'], 5);
    await deferred(site.router, 5);
  }
  await using site = await start(folder.path, HOUR_MS, { times: { ...times, delayNotice: 0, expire: 1 } });
  site.peers.alive.add('mx:sender.example');
  await waitFor(() => site.peers.arrived.length === 5, { timeout: 5000, what: 'the notices of the failure' });
});

test('the sender hears that mail is late when the time for that came before the next attempt', async () => {
  await using folder = await tempDir();
  const lasting = { first: 1000, max: 1000, delayNotice: 300 };
  const senders = ['alice@sender.example', 'carol@sender.example'];
  await using site = await start(folder.path, HOUR_MS, { times: lasting });
  const { router, peers } = site;
  peers.alive.add('mx:sender.example');
  for (const reversePath of senders) await router.send({ envelope: envelope(['bob@dead.example'], { reversePath }) });
  await deferred(router, 2);
  await waitFor(() => peers.arrived.length === 2, { timeout: 5000, what: 'the notices of the delay' });
});

test('where routes have changed before a start, mail does not wait for the next hop that it had', async () => {
  await using folder = await tempDir();
  const smartHost = { to: '*', via: 'smtp://dead.example' };
  {
    await using site = await start(folder.path, HOUR_MS, { config: { routes: [smartHost] } });
    for (const to of ['a@some.example', 'b@important.example']) await send(site.router, [to], 2);
    await deferred(site.router, 4);
  }
  const routes = [smartHost, { to: 'important.example', via: 'smtp://alive.example' }];
  await using site = await start(folder.path, HOUR_MS, { config: { routes } });
  site.peers.alive.add('smtp://alive.example');
  await waitFor(() => site.peers.arrived.length === 2, { timeout: 5000, what: 'the mail that has another way now' });
});

test('after a start, mail whose domain is redirected does not wait for the next hop that it had', async () => {
  await using folder = await tempDir();
  const config = { routes: [{ to: '*', via: 'smtp://dead.example' }] };
  const slow = { first: 1000, max: 1000 };
  {
    await using site = await start(folder.path, HOUR_MS, { config, times: slow });
    const { router } = site;
    await send(router, ['a@some.example'], 8);
    await send(router, ['b@important.example']);
    await deferred(router, 9);
    const redirect = {
      kind: 'redirect',
      about: 'domain',
      name: 'important.example',
      via: 'smtp://alive.example',
    } as const;
    await router.service.handlers['directive-set']({ ...redirect, by: 'root', forMs: HOUR_MS }, router.context());
  }
  await using site = await start(folder.path, HOUR_MS, { config, times: slow });
  site.peers.alive.add('smtp://alive.example');
  await waitFor(() => site.peers.arrived.length === 1, { timeout: 5000, what: 'the mail that is redirected' });
});

test('operators see until when mail waits for its next hop, and what was said of that last', async () => {
  await using folder = await tempDir();
  await using site = await start(folder.path, 300);
  const { router, peers } = site;
  const ids = await send(router, ['bob@dead.example'], 2);
  await deferred(router, 2);
  peers.pauseMs = HOUR_MS;
  await waitFor(() => peers.triedAt('mx:dead.example') >= 2, { what: 'a second attempt' });
  const { handlers } = router.service;
  await waitFor(
    async () => {
      const { entries } = await handlers['message-list']({ limit: 10 }, router.context());
      return entries.every(({ recipients: [one] }) => one?.status.state === 'deferred' && one.backoff !== undefined);
    },
    { what: 'the list to say so' },
  );
  for (const id of ids) {
    // Each is active for a moment, while it is looked where it goes.
    const entry = await waitFor(
      async () => {
        const { entry } = await router.show(id);
        return entry.state === 'deferred' && entry;
      },
      { what: `${id} to wait` },
    );
    const [one] = entry.recipients;
    assert.ok(one?.status.state === 'deferred' && one.backoff !== undefined);
    assert.deepEqual(one.backoff.reply, DEAD);
    assert.ok(one.backoff.until > Date.now() + HOUR_MS / 2, 'until the back-off ends');
    assert.ok(one.status.nextAttempt >= one.backoff.until, 'and not before');
  }
  const { groups } = await handlers['queue-summarize']({ by: 'destination', filter: {} }, router.context());
  assert.ok((groups[0]?.next ?? 0) > Date.now() + HOUR_MS / 2);
});

test('a message for several next hops goes to each of them as soon as it is back', async () => {
  await using folder = await tempDir();
  await using site = await start(folder.path, 200);
  const { router, peers } = site;
  peers.alive.add('mx:alive.example');
  await send(router, ['a@alive.example', 'b@one.example', 'c@two.example'], 3);
  await waitFor(() => peers.arrived.length === 3, { what: 'what can be delivered' });
  await waitFor(() => peers.triedAt('mx:one.example') >= 3, { what: 'attempts' });
  peers.alive.add('mx:two.example');
  await waitFor(() => peers.arrived.length === 6, { what: 'what can be delivered then' });
  peers.alive.add('mx:one.example');
  await waitFor(() => peers.arrived.length === 9, { what: 'the rest' });
  await waitFor(async () => (await router.status()).deferred === 0, { what: 'an empty queue' });
});

test('a message goes to one next hop when that is back, while its attempt at another one lasts', async () => {
  await using folder = await tempDir();
  await using site = await start(folder.path, 200);
  const { router, peers } = site;
  const { automatic } = router.delivery;
  const silent = Promise.withResolvers<void>();
  router.delivery.automatic = async (given) => {
    if (given.hop.key === 'mx:silent.example') await silent.promise;
    return automatic?.(given);
  };
  await send(router, ['a@silent.example', 'b@dead.example']);
  await waitFor(() => peers.triedAt('mx:dead.example') === 1, { what: 'the first attempt' });
  peers.alive.add('mx:dead.example');
  try {
    await waitFor(() => peers.arrived.length === 1, { timeout: 5000, what: 'what can be delivered' });
  } finally {
    silent.resolve();
  }
});

test('when its route changes, mail that waits for a dead next hop goes the new way', async () => {
  await using folder = await tempDir();
  await using site = await start(folder.path, HOUR_MS);
  const { router, peers } = site;
  await send(router, ['bob@dead.example'], 5);
  await deferred(router, 5);
  peers.alive.add('smtp://other.example');
  const routes = [{ to: 'dead.example', via: 'smtp://other.example' }];
  const { queue, node } = router.settings.current;
  router.settings.replace({ ...ConfigSchema.parse({ node, routes }), queue });
  await waitFor(() => peers.arrived.length === 5, { what: 'all mail' });
});

test('neither a reload that changes no route nor a directive that concerns other mail reads what waits for a next hop', async (t) => {
  await using folder = await tempDir();
  await using site = await start(folder.path, HOUR_MS);
  const { router, peers } = site;
  const { handlers } = router.service;
  for (const domain of ['one.example', 'two.example']) await send(router, [`bob@${domain}`], 5);
  await deferred(router, 10);
  // All of them are due by now, and parked.
  await send(router, ['bob@alive.example']);
  const tried = (): number => peers.tried.length;
  await waitFor(() => peers.triedAt('mx:alive.example') === 1, { what: 'other mail' });
  await deferred(router, 11);
  const [work, before] = [countWork(t), tried()];
  const { current } = router.settings;
  router.settings.replace({ ...current, delivery: { ...current.delivery, connections: 3 } });
  const about = { about: 'domain', by: 'root', forMs: HOUR_MS } as const;
  await handlers['directive-set']({ ...about, kind: 'suspend', name: 'three.example' }, router.context());
  peers.alive.add('smtp://other.example');
  const redirect = { ...about, kind: 'redirect', name: 'one.example', via: 'smtp://other.example' } as const;
  await handlers['directive-set'](redirect, router.context());
  await waitFor(() => peers.arrived.length === 5, { what: 'the mail that is redirected' });
  assert.ok(peers.arrived.every((one) => one.endsWith('bob@one.example smtp://other.example')));
  assert.equal(work.reads(), 5);
  assert.equal(tried(), before + 5);
});

test('what an operator asks for goes, and the rest follows it', async () => {
  await using folder = await tempDir();
  await using site = await start(folder.path, HOUR_MS);
  const { router, peers } = site;
  const [id = ''] = await send(router, ['bob@dead.example'], 4);
  await deferred(router, 4);
  // All of them are due by now.
  await send(router, ['bob@other.example']);
  await waitFor(() => peers.triedAt('mx:other.example') === 1, { what: 'other mail' });
  peers.alive.add('mx:dead.example');
  await router.service.handlers['message-retry']({ queueId: id }, router.context());
  await waitFor(() => peers.arrived.length === 4, { what: 'all mail' });
  assert.equal(peers.arrived[0]?.startsWith(id), true);
});

test('mail that is held while it waits for its next hop does not go, and goes when it is released', async () => {
  await using folder = await tempDir();
  await using site = await start(folder.path, 300);
  const { router, peers } = site;
  const [held = '', removed = '', other = ''] = await send(router, ['bob@dead.example'], 3);
  await deferred(router, 3);
  const { handlers } = router.service;
  await handlers['message-hold']({ queueId: held }, router.context());
  await handlers['message-remove']({ queueId: removed, notify: false }, router.context());
  peers.alive.add('mx:dead.example');
  await waitFor(() => peers.arrived.length === 1, { what: 'the one that is not held' });
  assert.ok(peers.arrived[0]?.startsWith(other));
  await handlers['message-release']({ queueId: held }, router.context());
  await waitFor(() => peers.arrived.length === 2, { what: 'the one that was held' });
});
