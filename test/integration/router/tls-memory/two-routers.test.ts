import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RouterSite, type SiteRouter } from '#test/integration/router/copies/router-site.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { PolicySite } from '#test/kit/tls/policy-site.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Routers of a cluster, on a real nats-server, that share what they know of the TLS of others. */

const NOW = Date.now();

async function setUp() {
  await using undo = new AsyncDisposableStack();
  const web = undo.use(await PolicySite.start());
  const dns = await web.startDns();
  const site = undo.use(await RouterSite.start());
  const config = { dns: { servers: [dns.server] }, delivery: { 'allow-local': ['127.0.0.0/8'] } };
  const resources = undo.move();
  const start = async (name: string): Promise<SiteRouter> => {
    const { webServers } = web;
    return resources.use(await site.router(name, { meets: true, webServers, config, queue: { copies: 1 } }));
  };
  return { web, site, start, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

const memoryOf = ({ router }: SiteRouter) => {
  const { memory, sts } = router.deliveryDeps ?? {};
  assert.ok(memory !== undefined && sts !== undefined);
  return { memory, sts };
};
const reached = (router: SiteRouter, domain: string) => memoryOf(router).memory.domain(domain)?.reached;

test('one router learns, all know: also those that start later, and all of them after a restart', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using all = await setUp();
  await all.web.publish('sts.test');
  let [one, two] = [await all.start('edge-1'), await all.start('edge-2')];
  memoryOf(one).memory.noteDomain('d.test', { reached: 'verified', at: NOW });
  const answer = await memoryOf(one).sts.find('sts.test');
  assert.equal(answer.kind, 'policy');
  await waitFor(() => reached(two, 'd.test') === 'verified', { what: 'the news at the other router' });
  assert.deepEqual(await memoryOf(two).sts.find('sts.test'), answer);
  const three = await all.start('edge-3');
  await waitFor(() => reached(three, 'd.test') === 'verified', { what: 'the news at a router that starts later' });
  assert.deepEqual(await memoryOf(three).sts.find('sts.test'), answer);

  for (const router of [one, two, three]) await router[Symbol.asyncDispose]();
  // Nobody can fetch anything now.
  await all.web.publish('sts.test', { addresses: [], record: 'trouble' });
  [one, two] = [await all.start('edge-1'), await all.start('edge-2')];
  for (const router of [one, two]) {
    assert.equal(reached(router, 'd.test'), 'verified');
    assert.deepEqual(await memoryOf(router).sts.find('sts.test'), answer);
  }
  assert.deepEqual(all.web.asked, ['sts.test'], 'it was fetched once');
});

test('a router whose line was cut catches up, and what was forgotten meanwhile is forgotten there too', {
  ...needs('nats-server'),
  timeout: 120_000,
}, async () => {
  await using all = await setUp();
  const [one, two] = [await all.start('edge-1'), await all.start('edge-2')];
  memoryOf(one).memory.noteDomain('d.test', { reached: 'verified', at: NOW });
  await waitFor(() => reached(two, 'd.test') !== undefined, { what: 'the news at the other router' });
  two.cable.cut();
  memoryOf(two).memory.noteDomain('of-two.test', { reached: 'encrypted', at: NOW });
  memoryOf(one).memory.noteDomain('of-one.test', { reached: 'encrypted', at: NOW });
  const { records } = await one.router.service.handlers['tls-memory-forget']({ name: 'd.test' }, one.router.context());
  assert.deepEqual(records, [{ kind: 'domain', name: 'd.test', at: NOW, reached: 'verified' }]);
  assert.equal(reached(two, 'd.test'), 'verified', 'it cannot know');
  two.cable.mend();
  await waitFor(() => reached(two, 'of-one.test') && reached(one, 'of-two.test'), {
    ...{ what: 'both to know what the other has learned', timeout: 60_000 },
  });
  assert.equal(reached(two, 'd.test'), undefined);
});
