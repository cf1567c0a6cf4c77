import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { PolicySite } from '#test/kit/tls/policy-site.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, LATER, TestRouter } from '#test/unit/router/fixture.ts';

test('a stop does not wait for a policy from a web server that says nothing', { timeout: 60_000 }, async () => {
  await using web = await PolicySite.start();
  await web.publish('silent.test', { answer: () => undefined });
  const dns = await web.startDns();
  await using folder = await tempDir();
  const config = { dns: { servers: [dns.server] }, delivery: { 'allow-local': ['127.0.0.0/8'] } };
  await using router = await TestRouter.start(folder.path, { config, webServers: web.webServers });
  router.delivery.automatic = async (job) => {
    await router.deliveryDeps?.sts?.find('silent.test');
    await job.end('deferred', LATER);
  };
  await router.send({ envelope: envelope(['bob@silent.test']) });
  await waitFor(() => web.asked.length === 1, { what: 'the fetch' });
  const began = performance.now();
  await router.stop();
  assert.ok(performance.now() - began < 5000);
});
