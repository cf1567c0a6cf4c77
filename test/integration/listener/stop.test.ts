import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** Apart from the other tests of a stop, because it waits for the whole grace period of ten seconds. */
test('stop: a client that waits for a reply when the grace period is over is told to come back', async () => {
  await using server = await startListener();
  const never = Promise.withResolvers<void>();
  server.router.committing = never.promise;
  using client = await Dialogue.greeted(server.port);
  await client.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  client.write('Subject: x\r\n\r\n.\r\n');
  await server.service.stop();
  assert.match(await client.rest(), /^421 4\.3\.2 Server is going down/);
  never.resolve();
});
