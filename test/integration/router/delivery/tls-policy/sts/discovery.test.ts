import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStsPolicies, type StsDeps } from '#services/router/delivery/tls-policy/sts/discovery.ts';
import type { KeptPolicy } from '#services/router/delivery/tls-policy/sts/kept.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { POLICY, PolicySite } from '#test/kit/tls/policy-site.ts';
import { waitFor } from '#test/kit/wait.ts';
import { testSettings } from '#test/unit/router/delivery/fixtures.ts';

/** How long policies count, and when they are fetched again. */

const site = await PolicySite.start();
test.after(() => site[Symbol.asyncDispose]());

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const down = (response: { destroy(): void }): void => response.destroy();

/** A router's view of `domain`, with a clock that the test moves. */
function setUp(domain: string, more: Partial<StsDeps> & { delivery?: object } = {}) {
  const kept = new Map<string, KeptPolicy>();
  const { log, lines } = logLines();
  let now = Date.parse('2030-01-01');
  const policies = createStsPolicies({
    settings: testSettings({ delivery: { 'allow-local': ['127.0.0.0/8'], ...more.delivery } }),
    log,
    resolver: site.resolver(),
    policies: { get: (name) => kept.get(name), keep: (name, one) => kept.set(name, one), domains: () => kept.keys() },
    webServers: site.webServers,
    now: () => now,
    ...more,
  });
  return {
    ...{ kept, lines, policies },
    /** `enforce 1`: mode and id. */
    find: async (): Promise<string> => {
      const answer = await policies.find(domain);
      return answer.kind === 'policy' ? `${answer.policy.mode} ${answer.policy.id}` : (answer.failure?.type ?? 'none');
    },
    /** How often it was fetched. */
    fetches: () => site.asked.filter((asked) => asked === domain).length,
    pass: (ms: number) => {
      now += ms;
    },
    [Symbol.dispose]: () => policies.stop(),
  };
}

test('a policy is fetched once for many messages, also concurrent ones', async () => {
  await site.publish('once.test');
  using router = setUp('once.test');
  assert.deepEqual(await Promise.all([router.find(), router.find()]), ['enforce 1', 'enforce 1']);
  router.pass(23 * HOUR_MS);
  assert.equal(await router.find(), 'enforce 1');
  assert.equal(router.fetches(), 1);
});

test('another id brings another policy immediately', async () => {
  await site.publish('id.test');
  using router = setUp('id.test');
  assert.equal(await router.find(), 'enforce 1');
  await site.publish('id.test', { record: 'v=STSv1; id=2', answer: POLICY.replace('enforce', 'testing') });
  assert.equal(await router.find(), 'testing 2');
  await site.publish('id.test', { record: 'v=STSv1; id=3', answer: POLICY.replace('enforce', 'none') });
  assert.equal(await router.find(), 'none');
  assert.equal(await router.find(), 'none');
  assert.equal(router.fetches(), 3, 'that there is none is remembered');
});

test('a policy counts to its end, whatever becomes of its record and its web server', async () => {
  await site.publish('hidden.test');
  using router = setUp('hidden.test');
  assert.equal(await router.find(), 'enforce 1');
  await site.publish('hidden.test', { answer: down });
  for (const record of ['trouble' as const, [], 'v=STSv1; id=2', 'v=STSv1;']) {
    await site.publish('hidden.test', { record });
    assert.equal(await router.find(), 'enforce 1', String(record));
  }
  router.pass(7 * DAY_MS - 1);
  assert.equal(await router.find(), 'enforce 1');
  router.pass(1);
  assert.equal(await router.find(), 'sts-policy-invalid', 'and then the record counts, which is broken');
});

test('a policy that is a day old is fetched again in the background, and counts longer', async () => {
  await site.publish('day.test');
  using router = setUp('day.test');
  await router.find();
  router.pass(6 * DAY_MS);
  assert.equal(await router.find(), 'enforce 1');
  await waitFor(() => router.kept.get('day.test')?.fetched === Date.parse('2030-01-07'), { what: 'the new policy' });
  router.pass(6 * DAY_MS);
  await site.publish('day.test', { record: 'trouble' });
  assert.equal(await router.find(), 'enforce 1');
});

test('a policy that must not be kept long is fetched again in time', async () => {
  await site.publish('short.test', { answer: POLICY.replace('604800', '0') });
  using router = setUp('short.test');
  assert.equal(await router.find(), 'enforce 1');
  router.pass(2 * MINUTE_MS);
  await router.find();
  assert.equal(router.fetches(), 1);
  router.pass(MINUTE_MS);
  await router.find();
  await waitFor(() => router.fetches() === 2, { what: 'the second fetch' });
});

test('an id that failed is not tried again for five minutes, and another one is', async () => {
  await site.publish('failed.test', { answer: down });
  using router = setUp('failed.test');
  assert.equal(await router.find(), 'sts-policy-fetch-error');
  router.pass(5 * MINUTE_MS - 1);
  assert.equal(await router.find(), 'sts-policy-fetch-error');
  assert.equal(router.fetches(), 1);
  router.pass(1);
  assert.equal(await router.find(), 'sts-policy-fetch-error');
  assert.equal(router.fetches(), 2);
  await site.publish('failed.test', { record: 'v=STSv1; id=2', answer: POLICY });
  assert.equal(await router.find(), 'enforce 2');
});

test('policies in use are refreshed without mail, others are not', async () => {
  for (const name of ['used', 'unused', 'without']) await site.publish(`${name}.refresh.test`, { answer: POLICY });
  await site.publish('without.refresh.test', { answer: POLICY.replace('enforce', 'none') });
  using router = setUp('used.refresh.test');
  const refreshed = async (): Promise<string[]> => {
    site.asked.length = 0;
    await router.policies.refresh();
    return [...site.asked];
  };
  for (const name of ['used', 'unused', 'without']) await router.policies.find(`${name}.refresh.test`);
  assert.deepEqual(await refreshed(), [], 'they are new');
  router.pass(DAY_MS);
  assert.deepEqual((await refreshed()).toSorted(), ['unused.refresh.test', 'used.refresh.test']);
  for (let day = 2; day < 30; day++) {
    router.pass(DAY_MS);
    await router.find();
    await router.policies.refresh();
  }
  router.pass(DAY_MS);
  assert.deepEqual(await refreshed(), ['used.refresh.test']);
});

test('a refresh that fails is a warning that names the domain, and is tried again after an hour', async () => {
  await site.publish('warn.test');
  using router = setUp('warn.test');
  await router.find();
  await site.publish('warn.test', { answer: down });
  router.pass(DAY_MS);
  await router.policies.refresh();
  await router.policies.refresh();
  const [warning] = router.lines();
  assert.match(warning?.msg ?? '', /cannot be refreshed: the one that was fetched before counts/);
  assert.deepEqual([warning?.['domain'], warning?.['failure']], ['warn.test', 'sts-policy-fetch-error']);
  assert.equal(router.fetches(), 2);
  router.pass(HOUR_MS);
  await router.policies.refresh();
  assert.equal(router.fetches(), 3);
});

test('nobody waits long for a new policy while the old one counts', async () => {
  await site.publish('wait.test');
  using router = setUp('wait.test');
  await router.find();
  await site.publish('wait.test', { record: 'v=STSv1; id=2', answer: () => undefined });
  const began = performance.now();
  assert.equal(await router.find(), 'enforce 1');
  assert.ok(performance.now() - began < 6000);
});

test('MTA-STS can be turned off, and for a domain until a day', async () => {
  await site.publish('off.test');
  using off = setUp('off.test', { delivery: { 'mta-sts': { enabled: false } } });
  assert.equal(await off.find(), 'none');
  const except = [{ domain: 'off.test', until: '2030-01-01' }];
  using excepted = setUp('off.test', { delivery: { 'mta-sts': { except } } });
  assert.equal(await excepted.find(), 'none');
  assert.equal(excepted.fetches(), 0);
  excepted.pass(DAY_MS);
  assert.equal(await excepted.find(), 'enforce 1');
});

test('an exception that has ended is named in the log', async () => {
  const except = [{ domain: 'ended.test', until: '2020-12-31' }];
  using router = setUp('ended.test', { delivery: { 'mta-sts': { except } } });
  assert.match(router.lines()[0]?.msg ?? '', /an exception from MTA-STS has ended/);
});
