import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** The largest headers, rewritten, over NATS: each service in a process of its own. */

const CONFIG = (port: number, far: number) =>
  [
    `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none, auth: always }]`,
    'relay: { allow: { hosts: [127.0.0.1] } }',
    'domains: [{ name: example.com, local: true }]',
    'limits: { header-size: 384KB }',
    `routes: [{ to: "*", via: "smtp://127.0.0.1:${far}" }]`,
    'rewrite: { canonical: [{ map: { root@host.test: admin@example.com } }], keep-original: true }',
  ].join('\n');

test('a rewritten header goes over the bus as long as it is within the limit; a larger one is refused for good', {
  ...needs('nats-server'),
  timeout: 90_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using sink = await SmtpSink.start();
  const port = await freePort();
  await using node = await SealpostNode.create({
    name: 'edge',
    nek: generateNek('test'),
    bus: guarded,
    port,
    config: CONFIG(port, sink.port),
  });
  await Promise.all(
    ['credential-store', 'signer', 'policy', 'router', 'listener'].map((service) => node.start(service)),
  );
  await using dialog = await Dialog.connect(port, { timeout: 20_000 });
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  /** The reply to a message with so many KB of octets above 127 in To, and a body that fills the last chunk. */
  const reply = async (kilobytes: number): Promise<string> => {
    await dialog.say('MAIL FROM:<x@far.test> BODY=8BITMIME', 250);
    await dialog.say('RCPT TO:<y@far.test>', 250);
    await dialog.say('DATA', 354);
    const comment = `${'ä'.repeat(255)}\r\n `.repeat(kilobytes * 2);
    const body = `${'b'.repeat(76)}\r\n`.repeat(1200);
    const { code, lines } = await dialog.command(`From: x@far.test\r\nTo: (${comment}) root@host.test\r\n\r\n${body}.`);
    return `${code} ${lines.join(' ')}`;
  };
  assert.match(await reply(185), /^250 /);
  const arrived = await waitFor(() => sink.messages[0], { what: 'the message', timeout: 20_000 });
  const text = arrived.data.toString();
  assert.match(text, /\) admin@example\.com\r\nX-Original-To: /);
  assert.match(await reply(260), /^552 .*5\.3\.4/);
});
