import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, LATER, OK, TestRouter } from '#test/unit/router/fixture.ts';

const ARCHIVE = 'archive@vault.example';
const rules = [{ name: 'archive', journal: { to: ARCHIVE, form: 'report' } }];
const BODY = `${'A line of text.\r\n'.repeat(3000)}--=_ not a boundary\r\n`;
const RECEIVED = 'Received: from client.example\r\n';

/** A message, what the archive gets of it, and what it announces. */
async function reportOf(message: Buffer, facts: object = {}) {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: { rules } });
  const to = [
    { address: 'bob@peer.example' },
    { address: 'carl@peer.example', original: 'all@peer.example' },
    { address: 'hidden@peer.example' },
  ];
  const queueId = await router.send({ envelope: envelope(to), message, facts });
  const given = [await router.delivery.next(), await router.delivery.next()];
  const copy = given.find((one) => one.to[0] === ARCHIVE);
  const mail = given.find((one) => one !== copy);
  assert.ok(copy !== undefined && mail !== undefined);
  assert.equal(await mail.content(), RECEIVED + message.toString('latin1'));
  const opened = await copy.job.open();
  assert.ok(opened.ok);
  const text = await copy.content();
  assert.deepEqual([opened.size, opened.sevenBit], [text.length, undefined]);
  const { eightBitBody, smtpUtf8, reversePath } = copy.job;
  // It is the same at the next attempt.
  await copy.end('deferred', LATER);
  await mail.end('delivered', OK);
  await router.service.handlers['message-retry']({ queueId }, router.context());
  const again = await router.delivery.next('the next attempt');
  assert.equal(await again.content(), text);
  await again.end('delivered', OK);
  return { text, queueId, eightBitBody, smtpUtf8, reversePath };
}

/** A report as Python's email package reads it. */
function parsed(text: string) {
  const program = `
import email, email.policy, json, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
text, attached = message.iter_parts()
print(json.dumps({
  'defects': [str(d) for part in message.walk() for d in part.defects],
  'type': message.get_content_type(), 'subject': message['subject'], 'id': message['message-id'],
  'received': len(message.get_all('received')), 'text': text.get_content().splitlines(),
  'attached': attached.get_content_type(),
  'inner': [attached.get_payload(0)['subject'], attached.get_payload(0)['to']],
}))`;
  const { stdout, stderr, status } = spawnSync('python3', ['-c', program], { input: Buffer.from(text, 'latin1') });
  assert.equal(status, 0, stderr.toString());
  return JSON.parse(stdout.toString());
}

test('a report names the whole envelope and carries the message as it was accepted', async () => {
  const message = Buffer.from(
    `From: <alice@sender.example>\r\nTo: <bob@peer.example>\r\nMessage-ID: <1@x>\r\nSubject: Plans\r\n\r\n${BODY}`,
  );
  const { text, queueId, eightBitBody, reversePath } = await reportOf(message);
  assert.deepEqual([eightBitBody, reversePath], [false, '']);
  assert.ok(text.includes(`\r\n\r\n${RECEIVED}${message.toString('latin1')}\r\n--=_`), 'the message is not whole');
  assert.deepEqual(parsed(text), {
    ...{ defects: [], type: 'multipart/mixed', subject: 'Plans', id: `<${queueId}.journal@vault.example>` },
    received: 1,
    text: [
      'Sender: alice@sender.example',
      'Subject: Plans',
      'Message-Id: <1@x>',
      'Recipient: bob@peer.example',
      'Recipient: carl@peer.example, Expanded: all@peer.example',
      'Recipient: hidden@peer.example',
    ],
    attached: 'message/rfc822',
    inner: ['Plans', 'bob@peer.example'],
  });
  assert.match(text, /^X-MS-Journal-Report:\r$/m);
});

test('an 8-bit body asks for 8BITMIME, and a header that is not ASCII is carried as it is', async () => {
  const body = Buffer.from('Subject: Hi\r\nTo: <bob@peer.example>\r\n\r\nGr\u00fc\u00dfe\r\n');
  const first = await reportOf(body, { eightBitBody: true });
  assert.deepEqual([first.eightBitBody, first.smtpUtf8, parsed(first.text).defects], [true, false, []]);
  const header = Buffer.from('Subject: Gr\u00fc\u00dfe\r\nTo: <bob@peer.example>\r\n\r\nx\r\n');
  const { text, eightBitBody, smtpUtf8 } = await reportOf(header, { eightBitHeader: true });
  assert.deepEqual([eightBitBody, smtpUtf8], [true, false]);
  assert.ok(text.includes(header.toString('latin1')));
  const outer = text.split('\r\n\r\n', 1)[0] ?? '';
  assert.match(outer, /^[\x00-\x7f]*$/);
  assert.match(outer, /^Subject: =\?utf-8\?B\?/m);
  assert.match(text, /^Content-Type: message\/global\r$/m);
});
