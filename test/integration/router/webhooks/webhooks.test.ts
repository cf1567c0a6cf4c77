import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestResult } from '#shared/webhooks/status.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type Issued, issue } from '#test/kit/tls/issue.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Receiver, SECRET } from '#test/kit/webhooks/receiver.ts';

/** A whole node tells a receiver over HTTPS of mail and keys, over kills of the node too. */

type Site = AsyncDisposable & { ca: Issued; tls: Issued; folder: string };

async function certificates(): Promise<Site> {
  const temp = await tempDir('hooks');
  const ca = await issue('Hooks CA', { ca: true });
  await writeFile(join(temp.path, 'ca.pem'), ca.certificate);
  const tls = await issue('localhost', { by: ca, names: ['localhost'] });
  return { ca, tls, folder: temp.path, [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose]() };
}

const hook = ({ folder }: Site, url: string, events: string): string =>
  `webhooks:\n  - { name: ops, url: "${url}", secret: ${SECRET}, events: [${events}], ca: ${folder}/ca.pem, timeout: 2s }\n`;

async function send(node: SealpostNode, ...to: string[]): Promise<void> {
  await using client = await Dialog.connect(node.port);
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say('MAIL FROM:<alice@example.com>', 250);
  for (const address of to) await client.say(`RCPT TO:<${address}>`, 250);
  await client.say('DATA', 354);
  await client.say('From: <alice@example.com>\r\nSubject: Hello\r\nMessage-ID: <1@example.com>\r\n\r\nx\r\n.', 250);
}

test('mail, bounces and keys are told of over HTTPS, and commands show how that goes', async () => {
  await using site = await certificates();
  await using receiver = await Receiver.start({ tls: site.tls });
  await using sink = await SmtpSink.start({
    script: ({ verb, address }) =>
      verb === 'RCPT' && address.startsWith('nobody@') ? '550 5.1.1 No such user' : undefined,
  });
  const config = hook(site, receiver.url, 'message.delivered, message.failed, key.activated, rotation.*');
  await using node = await SealpostNode.create({ sink: sink.port, config });
  await node.start();
  await node.createKey('example.com', 's1', 'ed25519');
  await send(node, 'bob@peer.test', 'nobody@peer.test');
  // The DSN about nobody is mail as well.
  await receiver.first(4);
  assert.deepEqual(receiver.types.toSorted(), [
    ...['key.activated', 'message.delivered', 'message.delivered', 'message.failed'],
  ]);
  const failed = receiver.received.find(({ event }) => event.type === 'message.failed')?.event.data;
  const { to, reply, signatures } = failed as { to: string; reply: object; signatures: object[] };
  assert.deepEqual([to, reply], ['nobody@peer.test', { code: 550, enhanced: '5.1.1', text: 'No such user' }]);
  assert.deepEqual(signatures, [{ domain: 'example.com', selector: 's1' }]);
  assert.equal(receiver.refused.length, 0);

  const { ok, results } = JSON.parse(await node.sealpost('webhooks', 'test', 'ops', '--json')) as {
    ok: boolean;
    results: TestResult[];
  };
  assert.deepEqual([ok, results.map(({ status }) => status)], [true, [204]]);
  await assert.rejects(node.sealpost('webhooks', 'test', 'other'), /there is no webhook \\?"other/);

  receiver.react = () => ({ status: 410 });
  await send(node, 'bob@peer.test');
  await waitFor(async () => /paused since/.test(await node.sealpost('webhooks', 'list')), { what: 'the pause' });
  assert.match(await node.report('doctor'), /webhook ops.*410 Gone/);
  await assert.rejects(node.sealpost('webhooks', 'test', 'ops'));
  receiver.react = () => ({ status: 200 });
  const before = receiver.received.length;
  assert.match(await node.sealpost('webhooks', 'retry', 'ops'), /1 event is sent to ops now/);
  await receiver.first(before + 1);
  await waitFor(async () => !/paused/.test(await node.sealpost('webhooks', 'list')), { what: 'the end of the pause' });
});

test('a node that is killed between settlement and sending tells after its start, and again with the same id', async () => {
  await using site = await certificates();
  await using sink = await SmtpSink.start();
  const away = await Receiver.start({ tls: site.tls });
  const { port, url } = away;
  await away[Symbol.asyncDispose]();
  const config = hook(site, url, 'message.delivered');
  await using node = await SealpostNode.create({ sink: sink.port, config });
  let program = await node.start();
  for (let n = 0; n < 20; n++) await send(node, `user${n}@peer.test`);
  await node.drained();
  program.signal('SIGKILL');
  await program.ended();

  await using receiver = await Receiver.start({ tls: site.tls, port });
  receiver.react = () => 'hang';
  program = await node.start();
  await receiver.first(1);
  program.signal('SIGKILL');
  await program.ended();
  const unanswered = receiver.received.map(({ id }) => id);

  receiver.react = () => ({ status: 200 });
  await node.start();
  await waitFor(
    async () => (await node.client('router')['webhook-list']({})).webhooks.every(({ waiting }) => waiting === 0),
    { what: 'all events to be sent', timeout: 60_000 },
  );
  const ids = receiver.received.map(({ id }) => id);
  assert.equal(new Set(ids).size, 20);
  const again = ids.slice(unanswered.length);
  for (const id of unanswered) assert.ok(again.includes(id), `${id} was not sent again`);
  assert.equal(again.length, 20);
});

test('what a node settles while it is killed again and again is told, each recipient at least once', async () => {
  await using site = await certificates();
  await using receiver = await Receiver.start({ tls: site.tls });
  await using sink = await SmtpSink.start();
  const config = hook(site, receiver.url, 'message.delivered');
  await using node = await SealpostNode.create({ sink: sink.port, config });
  let program = await node.start();
  let accepted = 0;
  for (let round = 0; round < 4; round++) {
    const end = performance.now() + 300 + Math.random() * 500;
    while (performance.now() < end) await send(node, `user${accepted++}@peer.test`);
    program.signal('SIGKILL');
    await program.ended();
    program = await node.start();
  }
  const told = () => new Set(receiver.received.map(({ event }) => (event.data as { to: string }).to));
  await waitFor(() => told().size >= accepted, { what: `${accepted} recipients to be told of`, timeout: 60_000 });
  const ids = new Map(receiver.received.map(({ id, event }) => [(event.data as { to: string }).to, id]));
  assert.equal(new Set(ids.values()).size, accepted, 'each recipient has one id');
});

test('a receiver with a wrong certificate, that is slow or has much to say costs no mail', async () => {
  await using site = await certificates();
  const other = await issue('other.example', { by: site.ca, names: ['other.example'] });
  await using wrong = await Receiver.start({ tls: other });
  await using hanging = await Receiver.start({ tls: site.tls });
  await using talking = await Receiver.start({ tls: site.tls });
  hanging.react = () => 'hang';
  talking.react = () => 'endless';
  await using sink = await SmtpSink.start();
  const entry = (name: string, { url }: Receiver): string =>
    `  - { name: ${name}, url: "${url}", secret: ${SECRET}, events: [message.*], ca: ${site.folder}/ca.pem, timeout: 500ms }`;
  const entries = [entry('wrong', wrong), entry('hanging', hanging), entry('talking', talking)];
  await using node = await SealpostNode.create({ sink: sink.port, config: `webhooks:\n${entries.join('\n')}\n` });
  await node.start();
  for (let n = 0; n < 30; n++) await send(node, `user${n}@peer.test`);
  await node.drained();
  assert.equal(sink.messages.length, 30);
  await talking.first(30, 60_000);
  const status = async () => (await node.client('router')['webhook-list']({})).webhooks;
  const [first, second] = await waitFor(
    async () => {
      const all = await status();
      return all.slice(0, 2).every(({ lastError }) => lastError !== undefined) && all;
    },
    { what: 'the failures' },
  );
  assert.match(first?.lastError?.text ?? '', /altnames/);
  assert.match(second?.lastError?.text ?? '', /no answer within 0.5 s/);
  assert.equal(wrong.received.length, 0);
});
