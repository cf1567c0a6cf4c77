import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { VERIFIER, VerifyingSink } from '#test/kit/smtp/verifying-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The way of Domino's documentation, word for word: from a named encryption key to a signed message. */

test('keymgmt create nek … to a signed message, with the exported record in BIND as it is', {
  ...needs('named', ...VERIFIER),
  timeout: 120_000,
}, async () => {
  await using dns = await NameServer.start({ 'renovations.com': '' });
  await using sink = await VerifyingSink.start([dns.server], 1);
  await using node = await SealpostNode.create({
    sink: sink.port,
    config:
      'domains: [{ name: renovations.com, signing: { mode: enforce } }]\n' +
      `dns: { servers: ["${dns.server}"], timeout: 1s, zones: [{ name: renovations.com, servers: ["${dns.server}"] }] }`,
  });
  const keymgmt = (words: string): Promise<string> => node.sealpost('keymgmt', ...words.split(' '));
  await rm(join(node.folder, 'nek.key'));

  assert.match(await keymgmt('create nek mynek'), /NEK > NEK mynek - Fingerprint [0-9a-f]{16}/);
  await node.start();
  assert.match(await keymgmt('create credstore mynek'), /Credential Store created successfully/);
  assert.match(
    await keymgmt('create DKIM renovations.com 12345 RSA 2048'),
    /Created DKIM key 12345\._domainkey\.renovations\.com/,
  );
  assert.match(
    await keymgmt('show dkim ALL'),
    /Selector: 12345, Domain: renovations\.com, Fingerprint ([0-9A-F]{2}:){31}[0-9A-F]{2}/,
  );

  const client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say('MAIL FROM:<anna@renovations.com>', 250);
  await client.say('RCPT TO:<b@dest.test>', 250);
  await client.say('DATA', 354);
  await client.say('From: anna@sales.renovations.com\r\nTo: b@dest.test\r\nSubject: early\r\n\r\ntext\r\n.', 250);
  // The key is not in DNS: mail waits, and says for what.
  await waitFor(async () => /no active key/.test(await node.sealpost('queue', 'list')), { what: 'the mail to wait' });
  assert.equal(sink.messages, 0);

  const file = join(node.folder, 'dkimdns.txt');
  await keymgmt(`export DKIM DNS renovations.com 12345 ${file}`);
  await dns.setZone('renovations.com', `$INCLUDE "${file}"`);
  await waitFor(async () => /State: active/.test(await keymgmt('show dkim ALL')), {
    timeout: 60_000,
    what: 'the key to sign by itself',
  });
  await waitFor(() => sink.messages === 1, { timeout: 60_000, what: 'the message to go by itself' });
  assert.deepEqual(sink.bad, []);
  assert.deepEqual([...sink.passed], [['12345', 1]]);
});
