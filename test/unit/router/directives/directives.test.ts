import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { Directives } from '#services/router/directives/directives.ts';
import { DirectiveDisk } from '#services/router/directives/disk.ts';
import type { Directive } from '#shared/directive.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** What operators told the routers: what counts where they disagree, and until when. */

const START = Date.parse('2026-11-30T10:00:00Z');
const HOUR = 3_600_000;
const BY = { by: 'root on edge-1' };

/** Routers with a disk and a clock each; nothing passes between them but by `tell`. */
async function routers(count: number) {
  const folder = await tempDir();
  const nodes = await Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const store = await Store.open(`${folder.path}/${n}`, silentLogger);
      const clock = { now: START };
      const open = () =>
        Directives.open({ disk: new DirectiveDisk(store, silentLogger), log: silentLogger, now: () => clock.now });
      return { store, clock, open, directives: await open() };
    }),
  );
  return {
    nodes,
    [Symbol.asyncDispose]: async () => {
      for (const { directives, store } of nodes) {
        directives.stop();
        await store.close();
      }
      await folder[Symbol.asyncDispose]();
    },
  };
}

const suspend = (name: string, forMs = HOUR) => ({ kind: 'suspend', about: 'domain', name, forMs, ...BY }) as const;
const mail = (domain: string, reversePath = '', hop?: string) => ({ domain, reversePath, hop });
const all = ({ records }: { records: Directive[] }): Directive[] => records;

test('the most specific domain, then the sender, then the destination', async () => {
  await using site = await routers(1);
  const { directives } = site.nodes[0] ?? assert.fail();
  assert.equal(directives.suspension(mail('d.test')), undefined);
  await directives.set(suspend('D.Test.'));
  await directives.set(suspend('bücher.example'));
  await directives.set({ ...suspend('news.test'), about: 'sender' });
  await directives.set({ ...suspend('Daily@Other.test'), about: 'sender' });
  await directives.set({ ...suspend('smtp://relay.test'), about: 'destination' });
  await directives.set({ ...suspend('mx:x.test (tls required)'), about: 'destination' });
  for (const [given, name] of [
    [mail('d.test'), 'd.test'],
    [mail('a.b.D.TEST', 'x@news.test'), 'd.test'],
    [mail('notd.test'), undefined],
    [mail('bücher.example'), 'xn--bcher-kva.example'],
    [mail('y.test', 'x@sub.news.test'), 'news.test'],
    [mail('y.test', 'daily@other.test'), 'daily@other.test'],
    [mail('y.test', 'x@other.test'), undefined],
    [mail('y.test', '', 'smtp://relay.test'), 'smtp://relay.test'],
    [mail('y.test', '', 'smtp://relay.test (forced TLS: required)'), 'smtp://relay.test'],
    [mail('y.test', '', 'smtp://relay.test:587'), undefined],
    [mail('x.test', '', 'mx:x.test (tls required)'), 'mx:x.test (tls required)'],
    [mail('x.test', '', 'mx:x.test'), undefined],
  ] as const)
    assert.equal(directives.suspension(given)?.name, name, JSON.stringify(given));
});

test('a directive is there after a restart, and ends by itself', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    await using site = await routers(1);
    const [node = assert.fail()] = site.nodes;
    const set = await node.directives.set({ ...suspend('d.test', 60_000), reason: 'disk full' });
    await node.directives.set({
      kind: 'redirect',
      about: 'domain',
      name: 'r.test',
      forMs: 2 * HOUR,
      via: 'smtp://b',
      ...BY,
    });
    node.directives.stop();
    node.directives = await node.open();
    assert.deepEqual(node.directives.suspension(mail('d.test')), JSON.parse(JSON.stringify(set)));
    assert.equal(node.directives.redirect('r.test')?.via, 'smtp://b');
    let changes = 0;
    node.directives.onChange(() => changes++);
    const { revision } = node.directives;
    node.clock.now += 60_001;
    mock.timers.tick(60_002);
    assert.equal(node.directives.suspension(mail('d.test')), undefined);
    assert.deepEqual([changes, node.directives.revision], [1, revision + 1]);
    assert.deepEqual(
      node.directives.list.map(({ name }) => name),
      ['r.test'],
    );
    node.directives.stop();
    node.directives = await node.open();
    assert.equal(node.directives.suspension(mail('d.test')), undefined);
  } finally {
    mock.timers.reset();
  }
});

test('the last word of an operator counts, whatever the clocks, in whatever order routers hear of it', async () => {
  await using site = await routers(3);
  const [one = assert.fail(), two = assert.fail(), three = assert.fail()] = site.nodes;
  one.clock.now += 600_000;
  const suspended = await one.directives.set(suspend('d.test'));
  two.directives.learn(suspended);
  // By the clock of this router, before it was suspended.
  await two.directives.end(suspended, 'root on edge-2');
  const records = [suspended, ...all(two.directives.records(undefined, 10))];
  for (const record of records) one.directives.learn(record);
  for (const record of records.toReversed()) three.directives.learn(record);
  for (const { directives } of site.nodes) assert.equal(directives.suspension(mail('d.test')), undefined);
  await three.directives.set(suspend('d.test'));
  for (const record of all(three.directives.records(undefined, 10))) {
    one.directives.learn(record);
    two.directives.learn(record);
  }
  for (const { directives } of site.nodes) assert.ok(directives.suspension(mail('d.test')));
});

test('two operators at two routers at the same moment end with the same directive', async () => {
  await using site = await routers(2);
  const [one = assert.fail(), two = assert.fail()] = site.nodes;
  const a = await one.directives.set({ ...suspend('d.test'), reason: 'a' });
  const b = await two.directives.set({ ...suspend('d.test'), reason: 'b' });
  one.directives.learn(b);
  two.directives.learn(a);
  assert.deepEqual(one.directives.list, two.directives.list);
});

test('a router that was away brings nothing back that was ended or cut short meanwhile', async () => {
  await using site = await routers(2);
  const [one = assert.fail(), away = assert.fail()] = site.nodes;
  const ended = await one.directives.set(suspend('ended.test', 10 * HOUR));
  const shorter = await one.directives.set(suspend('shorter.test', 10 * HOUR));
  for (const record of [ended, shorter]) away.directives.learn(record);
  one.clock.now += 1000;
  await one.directives.end(ended, 'root');
  await one.directives.set(suspend('shorter.test', HOUR));
  // Both are over by now, but for the router that was away.
  one.clock.now = START + 5 * HOUR;
  one.directives.stop();
  one.directives = await one.open();
  for (const record of all(away.directives.records(undefined, 10))) one.directives.learn(record);
  assert.deepEqual(one.directives.list, []);
  for (const record of all(one.directives.records(undefined, 10))) away.directives.learn(record);
  away.clock.now = one.clock.now;
  assert.equal(away.directives.suspension(mail('ended.test')), undefined);
  // Afterwards nothing of it is kept.
  one.clock.now = START + 11 * HOUR;
  one.directives.stop();
  one.directives = await one.open();
  assert.deepEqual(all(one.directives.records(undefined, 10)), []);
  one.directives.learn(ended);
  assert.deepEqual(one.directives.list, []);
});

test('of two that nobody could compare, the shorter one that counts outlives the longer one', async () => {
  await using site = await routers(3);
  const [one = assert.fail(), two = assert.fail(), three = assert.fail()] = site.nodes;
  const long = await one.directives.set(suspend('d.test', 10 * HOUR));
  two.clock.now += 1000;
  const short = await two.directives.set(suspend('d.test', HOUR));
  for (const record of [short, long]) three.directives.learn(record);
  const disk = new DirectiveDisk(three.store, silentLogger);
  await waitFor(async () => (await disk.load())[0]?.keep === long.keep, { what: 'the record on disk' });
  three.clock.now = START + 5 * HOUR;
  three.directives.stop();
  three.directives = await three.open();
  three.directives.learn(long);
  assert.deepEqual(three.directives.list, []);
});

test('what cannot be followed is refused, and pages hold all', async () => {
  await using site = await routers(1);
  const { directives } = site.nodes[0] ?? assert.fail();
  for (const via of ['smtp://me@relay.test', 'maildir:./x', 'nonsense', undefined])
    await assert.rejects(directives.set({ ...suspend('d.test'), kind: 'redirect', via }), {
      code: 'invalid-directive',
    });
  await assert.rejects(directives.end(suspend('d.test'), 'root'), { code: 'not-found' });
  for (let i = 0; i < 25; i++) await directives.set(suspend(`d${i}.test`));
  const seen: string[] = [];
  for (let after: string | undefined; ; ) {
    const { records, next } = directives.records(after, 10);
    seen.push(...records.map(({ name }) => name));
    if (next === undefined) break;
    after = next;
  }
  assert.equal(new Set(seen).size, 25);
  assert.equal(seen.length, 25);
});
