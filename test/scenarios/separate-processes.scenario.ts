import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startNatsServer } from '#test/kit/bus/nats-server.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Five processes, one service each, over a real nats-server; each is taken away in turn. */
test('five processes over NATS: what is away makes mail wait, never get lost', {
  ...needs('nats-server'),
  timeout: 10 * 60_000,
}, async (t) => {
  await using nats = await startNatsServer({ jetStream: true });
  await using sink = await Tally.start();
  await using node = await SealpostNode.create({
    sink: sink.port,
    config: `bus: { servers: ["${nats.url}"] }\ndomains: [{ name: example.com, signing: { mode: enforce }, keys: { proof: none } }]`,
  });
  for (const service of ['credential-store', 'signer', 'policy', 'router', 'listener']) await node.start(service);
  await node.createKey('example.com', 'r1', 'rsa-2048');
  await node.createKey('example.com', 'e1', 'ed25519');
  const stop = async (service: string): Promise<void> => {
    await node.programs.get(service)?.stop();
  };

  await t.test('mail passes, signed twice', async () => {
    const load = new Load('all', { port: node.port, sessions: 10, sizes: [500, 10_000, 200_000] });
    load.start();
    await waitFor(() => load.accepted.size > 300, { timeout: 60_000, what: '300 messages' });
    await load.stop();
    await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), {
      timeout: 60_000,
      what: 'all of it',
    });
    assert.deepEqual([...sink.signatures.keys()], [2]);
  });

  await t.test('without the signer mail waits; with it, it goes', async () => {
    await stop('signer');
    const load = new Load('signer', { port: node.port, sessions: 2, sizes: [500] });
    load.start();
    await waitFor(() => load.accepted.size > 20, { timeout: 60_000, what: 'mail to be accepted without a signer' });
    await load.stop();
    await waitFor(async () => /signer/i.test(await node.sealpost('queue', 'list')), {
      timeout: 30_000,
      what: 'the reason in the queue list',
    });
    assert.equal([...load.accepted].filter((id) => sink.arrivals.has(id)).length, 0, 'nothing left unsigned');
    await node.start('signer');
    await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), {
      timeout: 60_000,
      what: 'the mail that waited',
    });
    assert.deepEqual([...sink.signatures.keys()], [2]);
  });

  await t.test('without a router clients hear 451', async () => {
    await stop('router');
    await using client = await Dialog.connect(node.port, { timeout: 20_000 });
    await client.expect(220);
    await client.say('EHLO client.test', 250);
    await client.say('MAIL FROM:<a@example.com>', 250);
    await client.say('RCPT TO:<b@dest.test>', 250);
    await client.say('DATA', 451);
    await node.start('router');
    await client.say('DATA', 354);
    await client.say('From: a@example.com\r\nSubject: again\r\n\r\ntext\r\n.', 250);
  });

  await t.test('without policy nothing is accepted blind', async () => {
    await stop('policy');
    await using client = await Dialog.connect(node.port, { timeout: 20_000 });
    const greeting = await client.read();
    assert.ok([421, 451].includes(greeting.code), `${greeting.code} ${greeting.text}`);
    await node.start('policy');
  });

  await t.test('without the credential-store signing goes on', async () => {
    await stop('credential-store');
    const before = sink.messages;
    const load = new Load('credentials', { port: node.port, sessions: 2, sizes: [500] });
    load.start();
    await waitFor(() => sink.messages > before + 20, { timeout: 60_000, what: 'mail' });
    await load.stop();
    await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), {
      timeout: 60_000,
      what: 'all of it',
    });
    await node.start('credential-store');
  });

  await t.test('NATS away: 4xx at the door, the queue keeps its mail, all goes on when it is back', async () => {
    await nats.kill();
    await using client = await Dialog.connect(node.port, { timeout: 30_000 });
    const greeting = await client.read();
    assert.ok(greeting.code === 421 || greeting.code === 451, `${greeting.code} ${greeting.text}`);
    await nats.restart();
    const load = new Load('nats', { port: node.port, sessions: 5, sizes: [500] });
    load.start();
    await waitFor(() => load.accepted.size > 50, { timeout: 60_000, what: 'mail to pass again' });
    await load.stop();
    await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), {
      timeout: 60_000,
      what: 'all of it',
    });
    assert.deepEqual(
      [...sink.signatures.keys()].filter((n) => n !== 2),
      [],
    );
  });
});
