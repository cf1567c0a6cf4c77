import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { OpenedMessage } from '#services/router/delivery/job.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, type GivenJob, LATER, OK, readAll, TestRouter } from '#test/unit/router/fixture.ts';

const ARCHIVE = 'archive@vault.example';
const rules = [{ name: 'archive', journal: { to: ARCHIVE, form: 'report' } }];
const BODY = `${'A line of text.\r\n'.repeat(3000)}--=_ not a boundary\r\n`;
const RECEIVED = 'Received: from client.example\r\n';

const SIGNATURE = 'DKIM-Signature: a=1\r\n';

/** A message, what the archive gets of it, and what it announces; `sevenBit`: the same for a peer without 8BITMIME. */
async function reportOf(message: Buffer, facts: object = {}) {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path, { config: { rules } });
  router.signer.answer = () => ({ outcome: 'signed', header: SIGNATURE, keys: [] });
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
  assert.equal(await mail.content(), RECEIVED + message.toString('latin1'), 'mail of others is not signed');
  const [text, sevenBit] = await formsOf(router, copy);
  const { eightBitBody, smtpUtf8, reversePath } = copy.job;
  // It is the same at the next attempt.
  await copy.end('deferred', LATER);
  await mail.end('delivered', OK);
  await router.service.handlers['message-retry']({ queueId }, router.context());
  const again = await router.delivery.next('the next attempt');
  assert.deepEqual(await formsOf(router, again), [text, sevenBit]);
  await again.end('delivered', OK);
  return { text, sevenBit, queueId, eightBitBody, smtpUtf8, reversePath };
}

/** A report as it is and in 7 bit, each with the signature of what follows. */
async function formsOf(router: TestRouter, { job }: GivenJob): Promise<[text: string, sevenBit: string]> {
  const opened = await job.open();
  assert.ok(opened.ok);
  const text = await signedContent(router, opened);
  const other = await opened.sevenBit?.();
  assert.ok(typeof other === 'object' && other.ok);
  return [text, await signedContent(router, other)];
}

async function signedContent(router: TestRouter, opened: OpenedMessage): Promise<string> {
  const content = (await readAll(opened)).toString('latin1');
  assert.equal(opened.size, content.length);
  assert.ok(content.startsWith(SIGNATURE), 'it is not signed');
  const text = content.slice(SIGNATURE.length);
  const end = text.indexOf('\r\n\r\n') + 4;
  const hash = new RelaxedBodyHash();
  hash.update(Buffer.from(text.slice(end), 'latin1'));
  const { header, bodyHash } = router.signer.calls.at(-1) ?? {};
  assert.deepEqual([header, bodyHash], [text.slice(0, end), hash.digest()]);
  return text;
}

/** A report as Python's email package reads it. */
function parsed(text: string, inside = true) {
  const program = `
import email, email.policy, json, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
text, attached = message.iter_parts()
print(json.dumps({
  'defects': [str(d) for part in message.walk() for d in part.defects],
  'type': message.get_content_type(), 'subject': message['subject'], 'id': message['message-id'],
  'received': len(message.get_all('received')), 'text': text.get_content().splitlines(),
  'attached': attached.get_content_type(),
  'inner': ${inside ? "[attached.get_payload(0)['subject'], attached.get_payload(0)['to']]" : '[]'},
}))`;
  return python(program, text);
}

/** What is attached to it, decoded. */
function attachedTo(text: string): string {
  return python(
    `
import base64, json, re, sys
head, body = re.search(rb'(?s)\\r\\n(Content-Type: message/.*?)\\r\\n\\r\\n(.*)\\r\\n--=_', sys.stdin.buffer.read()).groups()
print(json.dumps((base64.b64decode(body) if b'base64' in head else body).decode('latin1')))`,
    text,
  ) as string;
}

function python(program: string, text: string) {
  const { stdout, stderr, status } = spawnSync('python3', ['-c', program], { input: Buffer.from(text, 'latin1') });
  assert.equal(status, 0, stderr.toString());
  return JSON.parse(stdout.toString());
}

test('a report names the whole envelope and carries the message as it was accepted', async () => {
  const message = Buffer.from(
    `From: <alice@sender.example>\r\nTo: <bob@peer.example>\r\nMessage-ID: <1@x>\r\nSubject: Plans\r\n\r\n${BODY}`,
  );
  const { text, sevenBit, queueId, eightBitBody, reversePath } = await reportOf(message);
  assert.deepEqual([eightBitBody, reversePath, sevenBit], [false, '', text]);
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

test('without 8BITMIME the archive gets the same bytes in base64, also of a message that is not converted', async () => {
  const signed =
    'DKIM-Signature: v=1; d=sender.example\r\nSubject: Gr\u00fc\u00dfe\r\nContent-Type: message/global\r\n\r\n';
  const message = Buffer.from(
    `${signed}Subject: x\r\n\r\n${'Gr\u00fc\u00dfe, and a line that goes on.\r\n'.repeat(9000)}`,
  );
  const { text, sevenBit } = await reportOf(message, { eightBitBody: true, eightBitHeader: true });
  assert.match(sevenBit, /^(?:[\x00-\x7f]{0,998}\r\n)+$/);
  assert.match(sevenBit, /\r\nContent-Type: message\/global\r\nContent-Transfer-Encoding: base64\r\n\r\n/);
  const lines = ['Sender: alice@sender.example', 'Subject: Gr\u00fc\u00dfe', 'Recipient: bob@peer.example'];
  assert.deepEqual(parsed(sevenBit, false).text.slice(0, 3), lines);
  assert.equal(attachedTo(sevenBit), RECEIVED + message.toString('latin1'));
  assert.equal(attachedTo(text), RECEIVED + message.toString('latin1'));
});

test('lines of a header that are no fields neither end the header of the report nor add to its envelope', async () => {
  const message = Buffer.from(
    'Received: from a.example\r\nnothing of a field\r\n \r\n by b.example\r\nMessage-ID: <1@x>\r\nno field\r\n' +
      'Subject: Plans\r\nof ours\r\n\u00a0Recipient: nobody@peer.example\u0085Recipient: none@peer.example\r\n' +
      'To: <bob@peer.example>\r\n\r\nHello\r\n',
  );
  for (const ascii of [false, true]) {
    const text8 = message.toString('latin1');
    const sent = ascii ? text8.replace(/[^\x00-\x7f]/g, '') : text8;
    const { text } = await reportOf(Buffer.from(sent, 'latin1'), { eightBitHeader: !ascii });
    const { type, received, text: lines } = parsed(text, false);
    assert.deepEqual([type, received], ['multipart/mixed', 2]);
    assert.equal(lines.length, 6, lines.join('\n'));
    assert.deepEqual(
      lines.slice(3).map((line: string) => line.split(',')[0]),
      ['Recipient: bob@peer.example', 'Recipient: carl@peer.example', 'Recipient: hidden@peer.example'],
    );
    assert.match(lines[1], /^Subject: Plans of ours/);
    assert.equal(lines[2], 'Message-Id: <1@x> no field');
  }
});
