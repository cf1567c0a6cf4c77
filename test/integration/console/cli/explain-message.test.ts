import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Type } from '#shared/dns/message.ts';
import { newId } from '#shared/ids.ts';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { RSA_RECORD, signed } from '#test/unit/policy/authenticity/fixtures.ts';

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

type Explain = (text: string, ...more: string[]) => Promise<string>;

/** A node whose listener is told the client's address, and a command that explains a message from 203.0.113.9. */
async function startNode(dns: FakeDns): Promise<{ node: SealpostNode; explain: Explain }> {
  const port = await freePort();
  const node = await SealpostNode.create({
    port,
    config: [
      `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, proxy: [127.0.0.1] }]`,
      `dns: { servers: ["${dns.server}"] }`,
      'limits: { message-size: 64KB, header-size: 4KB, hops: 10 }',
      'domains: [{ name: example.com, local: true, signing: { mode: off } }]',
      'routes: [{ to: "*", via: capture }]',
      'filters: [{ name: spam, type: rspamd, url: "http://127.0.0.1:1", direction: incoming }]',
    ].join('\n'),
  });
  await node.start();
  const explain: Explain = async (text, ...more) => {
    const file = join(node.folder, `${newId()}.eml`);
    await writeFile(file, text, 'latin1');
    const about = ['--client', '203.0.113.9', '--from', 'a@partner.example', '--to', 'b@example.com'];
    return await node.sealpost('explain', ...about, '--message', file, ...more);
  };
  return { node, explain };
}

test('explain says of a message what the listener says of it', async () => {
  await using dns = await FakeDns.start((query) => answerTo(query, { rcode: 3 }));
  const { node, explain } = await startNode(dns);
  await using _ = node;
  const said = await explain(MESSAGE);
  assert.match(said, new RegExp(`^a message of ${MESSAGE.length + 5} bytes\\n {2}250 2\\.0\\.0 `, 'm'));
  assert.match(said, /^put in front:\n.*\n {2}Received: from /ms);
  assert.match(said, /\n {6}comes from outside\n/);
  assert.match(said, /\naccepted$/m);
  const { accepted, message } = JSON.parse(await explain(MESSAGE, '--json'));
  assert.deepEqual([accepted, message.verdict.action, message.verdict.originating], [true, 'accept', false]);

  const replies = REFUSED.map(async ([name, text, reply]) => {
    const explained = JSON.parse(await explain(text, '--json'));
    const { code, text: heard } = await send(node.port, text);
    assert.equal(`${code} ${heard}`.slice(0, reply.length), reply, name);
    assert.equal(explained.accepted, false, name);
    assert.deepEqual(explained.steps.at(-1).reply, [`${code} ${heard}`], name);
  });
  await Promise.all(replies);
  assert.equal(await node.queued(), 0);
  assert.match(await node.sealpost('capture', 'list'), /nothing was captured/, 'nothing was sent');
  await assert.rejects(explain(MESSAGE, '--message', '/nowhere/mail.eml'), /ENOENT.*\/nowhere\/mail\.eml/);
});

/** partner.example permits 203.0.113.9 and no other host, and has a key. */
const RECORDS: Record<string, string> = {
  'partner.example': 'v=spf1 ip4:203.0.113.9 -all',
  's1._domainkey.partner.example': RSA_RECORD,
  '_dmarc.partner.example': 'v=DMARC1; p=none',
  '_dmarc.strict.example': 'v=DMARC1; p=reject',
};

test('explain tells each result for a message, the fields that it would get, and what a change of its body would do', async () => {
  await using dns = await FakeDns.start((query) => {
    const { name = '', type } = query.questions[0] ?? {};
    const value = type === Type.TXT ? RECORDS[name] : undefined;
    if (value === undefined) return answerTo(query, { rcode: 3 });
    return answerTo(query, { answers: [txt(name, value.slice(0, 200), value.slice(200))] });
  });
  const { node, explain } = await startNode(dns);
  await using _ = node;
  const mail = await signed(MESSAGE.replace('\xe9', 'e').replaceAll('\n', '\r\n'), { domain: 'partner.example' });
  const said = await explain(mail.replaceAll('\r\n', '\n'));
  const lines = said.split('\n').map((line) => line.trim());
  const expected = [
    'SPF    pass, of the reverse-path: partner.example',
    'DKIM   pass, d=partner.example, s=s1, a=rsa-sha256, aligned with the author',
    'ARC    none',
    'DMARC  pass, of partner.example, record of partner.example: p=none, asks for none, done: none',
    'put in front:',
    'Authentication-Results: edge.test;',
    'accepted',
  ];
  assert.deepEqual(
    lines.filter((line) => expected.includes(line)),
    expected,
    said,
  );
  assert.match(said, /^ {2}Received-SPF: pass /m);
  assert.match(said, /^note: not asked: the mail filters spam$/m);

  const { message } = JSON.parse(await explain(mail.replace('see you', 'see them'), '--json'));
  const { spf, dkim, dmarc } = message.authenticity;
  assert.deepEqual([spf.result, dkim[0].result, dmarc.result], ['pass', 'fail', 'pass']);
  const other = JSON.parse(await explain(mail.replace('see you', 'see them'), '--json', '--client', '198.51.100.7'));
  const found = other.message.authenticity;
  assert.deepEqual([found.spf.result, found.dkim[0].result, found.dmarc.result], ['fail', 'fail', 'fail']);

  // What a refusal rests on is told too.
  const refused = await explain(MESSAGE.replace('a@partner.example', 'a@strict.example'));
  assert.match(refused, /^DMARC {2}fail, of strict\.example, .* asks for reject, done: reject/m);
  assert.match(refused, /^refused: 550 5\.7\.26 /m);

  // Mail from inside is not checked.
  const inside = await explain(mail, '--client', '127.0.0.1');
  assert.match(inside, /^its genuineness is not checked/m);
  assert.doesNotMatch(inside, /mail filters/);
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
