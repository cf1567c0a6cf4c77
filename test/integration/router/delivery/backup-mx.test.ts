import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** A node that is a backup MX of a domain of others, with a real name server and hosts on port 25. */

// Below 1024, a port is root's.
const options = process.getuid?.() === 0 ? needs('named') : { skip: 'needs port 25' };

// The name of the node, edge.test, is in no zone of the server: it answers REFUSED.
const ZONE = `
d     MX 10 best
      MX 20 edge.test.
      MX 30 worse
best  A 127.0.0.26
worse A 127.0.0.27
`;

test(
  'a backup MX keeps mail for the best host, and gives it neither to itself nor to a worse one',
  options,
  async () => {
    await using names = await NameServer.start({ 'b.test': ZONE });
    await using worse = await SmtpSink.start({ host: '127.0.0.27', port: 25 });
    await using node = await SealpostNode.create({
      config: [
        'relay: { allow: { domains: [d.b.test] } }',
        `dns: { servers: ["${names.server}"], timeout: 1s }`,
        'delivery: { allow-local: [127.0.0.0/8] }',
        'queue: { retry: { first: 1s, max: 2s } }',
      ].join('\n'),
    });
    const program = await node.start();
    await using client = await Dialog.connect(node.port);
    await client.expect(220);
    await client.say('EHLO client.test', 250);
    await client.say('MAIL FROM:<a@client.test>', 250);
    await client.say('RCPT TO:<b@d.b.test>', 250);
    await client.say('DATA', 354);
    await client.say('From: a@client.test\r\nSubject: x\r\n\r\nx\r\n.', 250);
    await program.waitForOutput(/cannot connect to best\.b\.test/);
    const [entry] = JSON.parse(await node.sealpost('queue', 'list', '--json')).entries;
    assert.equal(entry.recipients[0].status.state, 'deferred');
    await using best = await SmtpSink.start({ host: '127.0.0.26', port: 25 });
    await waitFor(() => best.messages.length === 1, { what: 'the mail at the best host', timeout: 30_000 });
    assert.equal(worse.sessions.length, 0);
  },
);
