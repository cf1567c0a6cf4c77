import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { explain } from '#test/kit/nodes/explain.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

const ZONES = {
  'block.test': '2.0.0.127 A 127.0.0.2\n2.0.0.127 TXT "test entry"',
  'far.test': '@ MX 10 mail\nmail A 192.0.2.1\nnull MX 0 .',
};

type Said = { from: string; helo?: string; mail?: string; to?: string };

/** A session of each kind with the checks of `checks:` on, and what `explain` says of it beforehand. */
test('what each check replies over SMTP, explain says before', { ...needs('named'), timeout: 60_000 }, async (t) => {
  await using bind = await NameServer.start(ZONES);
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({
    sink: sink.port,
    config: `
relay: { allow: { hosts: [127.0.0.9] } }
domains: [{ name: example.com, local: true, keys: { proof: none } }]
dns: { servers: ["${bind.server}"], timeout: 1s }
checks:
  exempt: [127.0.0.8]
  connections-per-client: 2
  sender-domain: { enabled: true }
  helo: { refuse: [bare-address, own-name, syntax, not-fqdn], own: [127.0.0.7] }
  dns-lists: { block: [{ zone: block.test }] }
  greylist: { enabled: true, delay: 2s, recipients: [now@example.com] }`,
  });
  await node.start();

  /** The last reply of a session up to RCPT, `250` or the refusal. */
  const send = async ({ from, helo = 'mail.far.test', mail = 'a@far.test', to = 'b@example.com' }: Said) => {
    await using client = await Dialog.connect(node.port, { localAddress: from });
    let last = await client.read();
    for (const line of [`EHLO ${helo}`, `MAIL FROM:<${mail}>`, `RCPT TO:<${to}>`]) {
      if (last.code >= 400) break;
      last = await client.command(line);
    }
    return `${last.code} ${last.text}`;
  };
  const explained = async ({ from, helo = 'mail.far.test', mail = 'a@far.test', to = 'b@example.com' }: Said) =>
    (await explain(node, { client: from, helo, from: mail, to })).reply.at(-1);
  const OK = '250 2.1.5 Recipient OK';
  const LATER = '451 4.7.1 Greylisted, please try again later';
  const TABLE: [what: string, said: Said, expected: string][] = [
    ['a stranger', { from: '127.0.0.3' }, LATER],
    ['a stranger to a recipient who does not wait', { from: '127.0.0.3', to: 'now@example.com' }, OK],
    [
      'a client on a list',
      { from: '127.0.0.2' },
      '554 5.7.1 Client host [127.0.0.2] is listed by block.test: "test entry"',
    ],
    ['a client on a list to postmaster', { from: '127.0.0.2', to: 'postmaster' }, OK],
    [
      'no such sender domain',
      { from: '127.0.0.3', mail: 'a@gone.far.test' },
      '550 5.1.8 Sender domain gone.far.test does not exist in DNS',
    ],
    [
      'a null MX',
      { from: '127.0.0.3', mail: 'a@null.far.test' },
      '550 5.7.27 Sender domain null.far.test takes no mail: it has a null MX',
    ],
    [
      'a bare address in EHLO',
      { from: '127.0.0.3', helo: '192.0.2.1' },
      '550 5.7.1 EHLO refused: 192.0.2.1 is an address without brackets',
    ],
    [
      'our name in EHLO',
      { from: '127.0.0.3', helo: 'edge.test' },
      '550 5.7.1 EHLO refused: edge.test is a name or an address of this server',
    ],
    ['an exempt client', { from: '127.0.0.8', helo: 'PC', mail: 'a@gone.far.test' }, OK],
    ['an internal client', { from: '127.0.0.9', helo: 'PC', mail: 'a@gone.far.test' }, OK],
  ];
  for (const [what, said, expected] of TABLE) {
    await t.test(what, async () => {
      assert.equal(await explained(said), expected);
      assert.equal(await send(said), expected);
    });
  }

  await t.test('explaining remembers nothing; the stranger comes again and passes', async () => {
    const other = { from: '127.0.0.3', mail: 'explained@far.test' };
    assert.equal(await explained(other), LATER);
    await delay(2100);
    assert.equal(await explained(other), LATER);
    assert.equal(await send({ from: '127.0.0.3' }), OK);
  });

  await t.test('a third connection', async () => {
    await using first = await Dialog.connect(node.port, { localAddress: '127.0.0.4' });
    await using second = await Dialog.connect(node.port, { localAddress: '127.0.0.4' });
    assert.deepEqual([(await first.read()).code, (await second.read()).code], [220, 220]);
    const refused = '421 4.7.0 Too many connections from your address, please try again later';
    assert.equal(await send({ from: '127.0.0.4' }), refused);
    await waitFor(async () => (await explained({ from: '127.0.0.4' })) === refused, { what: 'explain to hear of it' });
  });
});
