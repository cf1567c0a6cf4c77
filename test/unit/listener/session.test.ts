import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startListener } from './harness.ts';

test('a message comes in', async () => {
  await using server = await startListener();
  using client = await server.connect();
  assert.equal(await client.reply(), '220 mx.test ESMTP');
  assert.equal(
    await client.say('EHLO client.test'),
    [
      '250-mx.test',
      '250-PIPELINING',
      '250-SIZE 52428800',
      '250-8BITMIME',
      '250-SMTPUTF8',
      '250-DSN',
      '250 ENHANCEDSTATUSCODES',
    ].join('\n'),
  );
  assert.deepEqual(await client.sayAll('MAIL FROM:<a@example.com>', 'RCPT TO:<B@Example.ORG>', 'DATA'), [
    '250 2.1.0 Sender OK',
    '250 2.1.5 Recipient OK',
    '354 End data with <CR><LF>.<CR><LF>',
  ]);
  assert.equal(await client.say('Subject: x\r\n\r\n..hello\r\n.'), '250 2.0.0 Queued as Q1');
  assert.equal(await client.say('QUIT'), '221 2.0.0 Bye');
  assert.equal(await client.rest(), '');
  assert.equal(server.router.messages[0]?.text, 'Subject: x\r\n\r\n.hello\r\n');
});
