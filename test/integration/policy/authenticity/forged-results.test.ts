import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { addUser } from '#cluster/config/users/edit.ts';
import { Type } from '#shared/dns/message.ts';
import { fieldValue, splitHeader } from '#shared/mail/header.ts';
import { Secret } from '#shared/secret.ts';
import { answerTo, FakeDns, txt } from '#test/kit/dns/fake-dns.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * RFC 8601 §5: what a client says in our name about its own mail is gone when the mail leaves, and what we found out is on
 * top, in the log line of the message and in its receipt. The client's address comes by the PROXY protocol.
 */

/** Fields that some reader takes for ours. The host name of the node is edge.test, and mx.example.com is in its domain. */
const FORGED = [
  'Authentication-Results: edge.test; dmarc=pass header.from=bank.test',
  'authentication-RESULTS: EDGE.Test; spf=pass smtp.mailfrom=bank.test',
  'Authentication-Results :edge.test; spf=pass',
  'Authentication-Results:\r\n\tedge.test;\r\n\tdkim=pass header.d=bank.test',
  'Authentication-Results: (a (nested) comment) edge.test (another) 1; dkim=pass header.d=bank.test',
  'Authentication-Results: "edge.test"; dkim=pass header.d=bank.test',
  'Authentication-Results: edge.test.; dkim=pass header.d=bank.test',
  'Authentication-Results: edge.test',
  'Authentication-Results: mx.example.com; dmarc=pass header.from=bank.test',
  'Authentication-Results: (not closed edge.test; dmarc=pass',
  'Authentication-Results: edge .test; dmarc=pass',
];
const OTHERS = 'Authentication-Results: mx.elsewhere.test; spf=pass smtp.mailfrom=bank.test';
const MESSAGE = `${FORGED.join('\r\n')}\r\n${OTHERS}\r\nFrom: boss@bank.test\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\n\r\nx`;

/** bank.test has no mail but from elsewhere, and asks for nothing. */
function records(name: string) {
  if (name === 'bank.test') return [txt(name, 'v=spf1 -all')];
  if (name === '_dmarc.bank.test') return [txt(name, 'v=DMARC1; p=none')];
  return undefined;
}

test('Authentication-Results that claim to be ours do not get through, and ours are the only ones', async () => {
  await using resources = new AsyncDisposableStack();
  const dns = resources.use(
    await FakeDns.start((query) => {
      const { name = '', type } = query.questions[0] ?? {};
      const answers = type === Type.TXT ? records(name) : undefined;
      return answerTo(query, answers === undefined ? { rcode: 3 } : { answers });
    }),
  );
  const sink = resources.use(await SmtpSink.start());
  const port = await freePort();
  const node = resources.use(
    await SealpostNode.create({
      ...{ port, sink: sink.port },
      config: [
        `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always, proxy: [127.0.0.1] }]`,
        'domains: [{ name: example.com, local: true, signing: { mode: off } }]',
        `dns: { servers: ["${dns.server}"] }`,
        'directory: { users: ./users.yaml }',
      ].join('\n'),
    }),
  );
  const user = {
    name: 'alice',
    password: new Secret('a password'),
    addresses: ['alice@example.com', 'boss@bank.test'],
  };
  await addUser(join(node.folder, 'users.yaml'), user);
  const program = await node.start();

  let queueId = '';
  const arrived = async (login: boolean): Promise<string[]> => {
    const before = sink.messages.length;
    await using session = await Dialog.connect(port);
    session.send('PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n');
    await session.expect(220);
    await session.say('EHLO client.test', 250);
    if (login) await session.say(`AUTH PLAIN ${Buffer.from('\0alice\0a password').toString('base64')}`, 235);
    await session.say('MAIL FROM:<boss@bank.test>', 250);
    await session.say('RCPT TO:<alice@example.com>', 250);
    await session.say('DATA', 354);
    const { text } = await session.say(`${MESSAGE}\r\n.`, 250);
    queueId = /Queued as (\S+)/.exec(text)?.[1] ?? '';
    const { data } = await waitFor(() => sink.messages[before], { what: 'the message', timeout: 10_000 });
    const fields = splitHeader(data.toString('latin1'));
    const names = fields.map(({ name }) => name);
    assert.ok(names.includes('from') && names.includes('received'), names.join());
    return fields.filter(({ name }) => name === 'authentication-results').map(fieldValue);
  };

  const [ours, others, ...more] = await arrived(false);
  assert.match(ours ?? '', /^edge\.test;\s+spf=fail smtp\.mailfrom=\S*bank\.test;.*;\s+dmarc=fail/s);
  assert.equal(others, OTHERS.slice('Authentication-Results: '.length));
  assert.deepEqual(more, []);
  const shown = await node.sealpost('queue', 'show', queueId);
  for (const line of ['spf      fail bank.test', 'dkim     none', 'arc      none', 'dmarc    fail bank.test']) {
    assert.ok(shown.includes(`\n${line}\n`), shown);
  }
  assert.match(program.output, /"spf":"fail bank.test","dkim":"none","arc":"none","dmarc":"fail bank.test"/);
  // Mail of users is not checked: there is nothing of ours in it, and nothing that looks like it.
  assert.deepEqual(await arrived(true), [others]);
});
