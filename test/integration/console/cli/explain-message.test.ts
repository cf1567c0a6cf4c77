import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { answerTo, FakeDns } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';

/** `sealpost explain --message`: what it says of a message is what happens to the message. */

const RECEIVED = 'Received: from a by b; Sat, 28 Nov 2026 10:00:00 +0000\n';
const HEADER = 'From: a@partner.example\nTo: b@example.com\nSubject: caf\xe9\n';
const MESSAGE = `${HEADER}\nsee you\n`;
const LARGE = `${HEADER}\n${'y'.repeat(70)}\n`.padEnd(70_000, 'z');
const REFUSED: [name: string, message: string, reply: string][] = [
  ['a mail loop', RECEIVED.repeat(11) + MESSAGE, '554 5.4.6'],
  ['a message that is too large', LARGE, '552 5.3.4'],
  ['a header that is too large', `X-Long: ${'x'.repeat(5000)}\n${MESSAGE}`, '552 5.3.4'],
  ['a bare CR', MESSAGE.replace('see', 's\ree'), '550 5.6.11'],
  ['a NUL', MESSAGE.replace('see', 's\0ee'), '550 5.6.0'],
];

test('explain says of a message what the listener says of it', async () => {
  await using dns = await FakeDns.start((query) => answerTo(query, { rcode: 3 }));
  const port = await freePort();
  await using node = await SealpostNode.create({
    port,
    config: [
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]`,
      `dns: { servers: ["${dns.server}"] }`,
      'limits: { message-size: 64KB, header-size: 4KB, hops: 10 }',
      'domains: [{ name: example.com, local: true, signing: { mode: off } }]',
      'routes: [{ to: "*", via: capture }]',
    ].join('\n'),
  });
  await node.start();
  const explain = async (text: string, ...more: string[]): Promise<string> => {
    const file = join(node.folder, 'mail.eml');
    await writeFile(file, text, 'latin1');
    const about = ['--client', '203.0.113.9', '--from', 'a@partner.example', '--to', 'b@example.com'];
    return await node.sealpost('explain', ...about, '--message', file, ...more);
  };

  const said = await explain(MESSAGE);
  assert.match(said, new RegExp(`^a message of ${MESSAGE.length + 5} bytes\\n {2}250 2\\.0\\.0 `, 'm'));
  assert.match(said, /^put in front:\n {2}Received: from /m);
  assert.match(said, /\n {6}comes from outside\n/);
  assert.match(said, /\naccepted$/m);
  const { accepted, message } = JSON.parse(await explain(MESSAGE, '--json'));
  assert.deepEqual([accepted, message.verdict.action, message.verdict.originating], [true, 'accept', false]);

  for (const [name, text, reply] of REFUSED) {
    const explained = JSON.parse(await explain(text, '--json'));
    const { code, text: heard } = await send(node.port, text);
    assert.equal(`${code} ${heard}`.slice(0, reply.length), reply, name);
    assert.equal(explained.accepted, false, name);
    assert.deepEqual(explained.steps.at(-1).reply, [`${code} ${heard}`], name);
  }
  assert.equal(await node.queued(), 0);
  assert.match(await node.sealpost('capture', 'list'), /nothing was captured/, 'nothing was sent');
  await assert.rejects(explain(MESSAGE, '--message', '/nowhere/mail.eml'), /ENOENT.*\/nowhere\/mail\.eml/);
});

async function send(port: number, text: string) {
  await using session = await Dialog.connect(port);
  session.send(Buffer.from('PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n'));
  await session.expect(220);
  await session.say('EHLO partner.example', 250);
  await session.say('MAIL FROM:<a@partner.example>', 250);
  await session.say('RCPT TO:<b@example.com>', 250);
  await session.say('DATA', 354);
  session.send(Buffer.from(`${text.replaceAll('\n', '\r\n')}\r\n.\r\n`, 'latin1'));
  return await session.read();
}
