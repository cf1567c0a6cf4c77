import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateNek } from '#shared/dkim/nek.ts';
import { freePort } from '#test/kit/free-port.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/** SRS through real nodes that share a NEK and nothing else. */

const config = (port: number, far: number) =>
  [
    `listeners: [{ name: mx, kind: relay, address: 127.0.0.1, port: ${port}, tls: none }]`,
    'relay: { allow: { hosts: [10.0.0.0/8] } }',
    'domains: [{ name: example.com, local: true }]',
    'directory: { users: users.yaml }',
    `routes: [{ to: "*", via: "smtp://127.0.0.1:${far}" }]`,
    'rewrite: { srs: { domain: srs.example.com } }',
  ].join('\n');

async function startNode(name: string, nek: string, far: number): Promise<SealpostNode> {
  const port = await freePort();
  const node = await SealpostNode.create({ name, port, nek, config: config(port, far) });
  await writeFile(join(node.folder, 'users.yaml'), 'aliases: { fwd@example.com: [away@elsewhere.test] }\n');
  await node.start();
  return node;
}

async function send(node: SealpostNode, from: string, to: string, code = 250): Promise<void> {
  await using dialog = await Dialog.connect(node.port);
  await dialog.expect(220);
  await dialog.say('EHLO client.test', 250);
  await dialog.say(`MAIL FROM:<${from}>`, 250);
  await dialog.say(`RCPT TO:<${to}>`, code);
  if (code !== 250) return;
  await dialog.say('DATA', 354);
  await dialog.say('From: x@far.test\r\nSubject: hi\r\n\r\nhello\r\n.', 250);
}

test('SRS: forwarded mail has a reverse-path of ours, and its bounce comes back through any node', {
  timeout: 60_000,
}, async (t) => {
  let refuse = false;
  await using sink = await SmtpSink.start({
    script: ({ verb, address }) =>
      refuse && verb === 'RCPT' && address === 'away@elsewhere.test' ? '550 5.1.1 no such user' : undefined,
  });
  const nek = generateNek('one');
  await using first = await startNode('edge-1', nek, sink.port);
  await using second = await startNode('edge-2', nek, sink.port);
  let count = 0;
  // The sink keeps a message whose recipients it refused.
  const arrived = () => sink.messages.filter((message) => message.recipients.length > 0);
  const next = () =>
    waitFor(() => arrived()[count], { what: `message ${count + 1}`, timeout: 20_000 }).finally(() => count++);
  let path = '';

  await t.test('the forward', async () => {
    await send(first, 'x@far.test', 'fwd@example.com');
    const { from, recipients } = await next();
    assert.equal(recipients[0]?.address, 'away@elsewhere.test');
    assert.match(from.address, /^SRS0=[A-Za-z0-9+/]{6}=[A-Z2-7]{2}=far\.test=x@srs\.example\.com$/);
    path = from.address;
    const [line = ''] = await waitFor(
      async () => {
        const log = first.programs.get('all')?.output.split('\n') ?? [];
        const found = log.filter((text) => text.includes('"delivered"') && text.includes(path));
        return found.length > 0 && found;
      },
      { what: 'the log to name the reverse-path' },
    );
    const { queueId } = JSON.parse(line) as { queueId: string };
    assert.ok((await first.sealpost('queue', 'show', queueId)).includes(`away@elsewhere.test (from ${path})`));
  });

  await t.test('the bounce, at the other node', async () => {
    await send(second, '', path.toLowerCase());
    const { from, recipients } = await next();
    assert.deepEqual([from.address, recipients[0]?.address], ['', 'x@far.test']);
  });

  await t.test('our own notice goes to the sender without a detour', async () => {
    refuse = true;
    await send(first, 'x@far.test', 'fwd@example.com');
    const { from, recipients, data } = await next();
    assert.deepEqual([from.address, recipients[0]?.address], ['', 'x@far.test']);
    assert.match(data.toString(), /no such user/);
    refuse = false;
  });

  await t.test('a forged one is refused at RCPT', async () => {
    await send(second, '', path.replace('far.test', 'victim.test'), 550);
    await send(second, '', 'any@srs.example.com', 554);
  });

  await t.test('a new NEK before the old one signs, and the old one still counts', async () => {
    const file = join(first.folder, 'nek.key');
    await writeFile(file, `${generateNek('two')}${await readFile(file, 'utf8')}`);
    await waitFor(
      async () => {
        await send(first, 'x@far.test', 'fwd@example.com');
        const { from } = await next();
        return from.address !== path;
      },
      { what: 'the new key to sign' },
    );
    await send(first, '', path);
    assert.equal((await next()).recipients[0]?.address, 'x@far.test');
  });
});
