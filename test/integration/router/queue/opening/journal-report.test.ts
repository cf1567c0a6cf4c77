import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { verifyWithDkimpy } from '#test/kit/dkim/verifiers.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The reports of a node about one 8-bit message, at an archive with 8BITMIME and at one without. */

const BODY = `Gr\u00fc\u00dfe\r\n${'A line that goes on \u2026\r\n'.repeat(20_000)}`;

test('an archive gets a signed report, in 7 bit where it does not offer 8BITMIME', {
  ...needs('dkimverify'),
  timeout: 60_000,
}, async () => {
  await using modern = await SmtpSink.start();
  await using old = await SmtpSink.start({ extensions: ['PIPELINING'] });
  await using others = await SmtpSink.start();
  const archives = { 'modern.vault': modern, 'old.vault': old };
  await using node = await SealpostNode.create({
    sink: others.port,
    routes: Object.entries(archives).map(([to, { port }]) => `{ to: ${to}, via: "smtp://127.0.0.1:${port}" }`),
    config: [
      'domains: [{ name: edge.test, keys: { proof: none } }]',
      'rules:',
      ...Object.keys(archives).map((to) => `  - { name: ${to}, journal: { to: archive@${to}, form: report } }`),
    ].join('\n'),
  });
  await node.start();
  await node.createKey('edge.test', 's1');
  const value = (await node.sealpost('keys', 'export-dns', 'edge.test', 's1', '--value')).trim();
  await using dialog = await Dialog.connect(node.port);
  await dialog.read();
  const header = 'From: <alice@far.test>\r\nSubject: Plans\r\n';
  for (const line of ['EHLO far.test', 'MAIL FROM:<alice@far.test> BODY=8BITMIME', 'RCPT TO:<bob@peer.test>'])
    await dialog.say(line, 250);
  await dialog.say('DATA', 354);
  await dialog.say(`${header}\r\n${BODY}.`, 250);

  const sent = async (sink: SmtpSink) => {
    const [message] = await waitFor(() => sink.messages.length > 0 && sink.messages, { what: 'a report' });
    assert.ok(message !== undefined);
    const file = join(node.folder, 'report.eml');
    await writeFile(file, message.data);
    assert.deepEqual(await verifyWithDkimpy([file], { 's1._domainkey.edge.test': value }), [['pass']]);
    return message;
  };
  const accepted = (await waitFor(() => others.messages[0], { what: 'the message' })).data;
  const eightBit = await sent(modern);
  assert.ok(eightBit.from.parameters.includes('BODY=8BITMIME'), eightBit.from.parameters.join(' '));
  const at = eightBit.data.indexOf('Content-Type: message/rfc822');
  assert.ok(at > 0 && eightBit.data.includes(accepted, at), 'the message is not in the report as it went out');
  const sevenBit = await sent(old);
  assert.ok(sevenBit.data.every((byte) => byte < 128));
  const base64 = /message\/global\r\nContent-Transfer-Encoding: base64\r\n\r\n([\s\S]*?)\r\n--=_/;
  const encoded = base64.exec(sevenBit.data.toString('latin1'))?.[1] ?? '';
  assert.ok(Buffer.from(encoded, 'base64').equals(accepted), 'it is not the message as it went out');
});
