import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import type { ListenerConfig } from '#cluster/config/schema/schema.ts';
import { speaksProxy } from '#services/listener/listener.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from './harness.ts';

test('status tells the ports that were picked', async () => {
  await using server = await startListener();
  using client = await server.connect();
  await client.reply();
  assert.deepEqual(await server.status(), [
    { name: 'mx', kind: 'relay', address: '127.0.0.1', port: server.port, tls: 'none', sessions: 1 },
  ]);
  assert.ok(server.port > 0);
});

test(':: takes IPv4 as well, and an IPv4 client has an IPv4 address', async () => {
  await using server = await startListener({ listener: { address: '::' } });
  using client = await Dialogue.connect(server.port);
  assert.match(await client.reply(), /^220/);
  const asked = server.policy.calls[0]?.request as { address: string } | undefined;
  assert.equal(asked?.address, '127.0.0.1');
});

test('start fails with a clear error when a port is taken', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  assert.ok(address !== null && typeof address === 'object');
  await assert.rejects(startListener({ listener: { port: address.port } }), {
    code: 'listen-failed',
    message: `listener mx cannot listen on 127.0.0.1 port ${address.port}: another program has it; stop that one, or choose another port`,
  });
  other.close();
});

test('listeners open, change and close with the configuration', async () => {
  await using server = await startListener();
  const { settings } = server;
  const [mx] = settings.current.listeners;
  assert.ok(mx);
  const use = (...listeners: ListenerConfig[]) => settings.replace({ ...settings.current, listeners });
  using before = await Dialogue.greeted(server.port);

  // Another one beside it, which a third cannot prevent.
  use(mx, { ...mx, name: 'second' }, { ...mx, name: 'broken', address: '192.0.2.1' });
  await waitFor(async () => (await server.status()).length === 2, { what: 'the second listener' });
  await waitFor(() => server.log.some((l) => l.msg === 'listener not opened' && l['listener'] === 'broken'), {
    what: 'a complaint about the third',
  });
  const second = (await server.status())[1]?.port ?? 0;
  using there = await Dialogue.connect(second);
  assert.match(await there.reply(), /^220/);

  // What needs no other socket changes in place: the port stays, sessions go on.
  use({ ...mx, greeting: 'ready', kind: 'submission' });
  await waitFor(async () => (await server.status()).length === 1, { what: 'the second listener to go' });
  assert.match(await there.rest(), /^421 4\.3\.2 /);
  using after = await Dialogue.connect(server.port);
  assert.equal(await after.reply(), '220 mx.test ESMTP ready');
  assert.equal(await before.say('NOOP'), '250 2.0.0 OK');
  await assert.rejects(Dialogue.connect(second), { code: 'ECONNREFUSED' });
});

test('stop: idle sessions end immediately, a message under way is finished', async () => {
  await using server = await startListener();
  using idle = await Dialogue.greeted(server.port);
  using inEnvelope = await Dialogue.greeted(server.port);
  await inEnvelope.say('MAIL FROM:<a@b.test>');
  using writing = await Dialogue.greeted(server.port);
  await writing.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  writing.write('Subject: x\r\n');

  let stopped = false;
  const stop = server.service.stop().then(() => {
    stopped = true;
  });
  const goodbye = '421 4.3.2 Server is going down, please try again later\r\n';
  assert.equal(await idle.rest(), goodbye);
  assert.equal(await inEnvelope.rest(), goodbye);
  await assert.rejects(Dialogue.connect(server.port), { code: 'ECONNREFUSED' });
  assert.equal(stopped, false, 'the message is waited for');
  writing.write('\r\n.\r\n');
  assert.equal(await writing.rest(), `250 2.0.0 Queued as Q1\r\n${goodbye}`);
  for (const client of [idle, inEnvelope, writing]) client.socket.destroy();
  await stop;
  assert.equal(server.router.messages.length, 1);
});

test('PROXY protocol: from the networks that speak it, the client is who they say', async () => {
  await using server = await startListener({ listener: { proxy: ['127.0.0.0/8'] } });
  using client = await server.connect();
  client.write('PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\nEHLO client.test\r\n');
  // What follows the header without waiting for the greeting is too early.
  assert.match(await client.reply(), /^(220|421 4\.7\.0)/);
  using polite = await server.connect();
  polite.write('PROXY TCP6 2001:DB8::7 2001:db8::1 40000 25\r\n');
  assert.match(await polite.reply(), /^220/);
  await polite.sayAll('EHLO client.test', 'MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA', '.');
  assert.equal(server.router.messages[0]?.origin.client.address, '2001:db8::7');
  const asked = server.policy.calls.filter((c) => c.operation === 'client-check').map((c) => c.request);
  assert.deepEqual(
    asked.map((r) => (r as { address: string }).address),
    ['192.0.2.7', '2001:db8::7'],
  );
  using liar = await server.connect();
  liar.write('EHLO client.test\r\n');
  assert.match(await liar.rest(), /^421 4\.3\.5 PROXY header expected/);
});

/** A header of version 2: command and version, family and protocol, what follows. */
const version2 = (command: number, family: number, ...octets: number[]): Buffer =>
  Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([command, family, octets.length >> 8, octets.length & 255, ...octets]),
  ]);
const ADDRESSES = [192, 0, 2, 7, 198, 51, 100, 1, 156, 64, 0, 25];

test('PROXY protocol of version 2: the client is who it says, whatever extensions follow, and however slowly it comes', async () => {
  await using server = await startListener({ listener: { proxy: ['127.0.0.0/8'] } });
  using client = await server.connect();
  const header = version2(0x21, 0x11, ...ADDRESSES, 0x04, 0, 3, 1, 2, 3);
  for (const octet of header) {
    client.write(Buffer.from([octet]));
    await new Promise(setImmediate);
  }
  assert.match(await client.reply(), /^220/);
  await client.sayAll('EHLO client.test', 'MAIL FROM:<a@b.test>');
  const asked = server.policy.calls.map(({ request }) => request as { address?: string; gateway?: boolean });
  assert.deepEqual([asked[0]?.address, asked[0]?.gateway], ['192.0.2.7', undefined]);
});

test('a proxy that does not say whose connection it is stands for anybody', async () => {
  const unix = Array.from({ length: 216 }, () => 0x2f);
  for (const header of [
    Buffer.from('PROXY UNKNOWN 10.0.0.1 10.0.0.2 1 25\r\n'),
    version2(0x20, 0x11, ...ADDRESSES),
    version2(0x20, 0x00),
    version2(0x21, 0x00, 1, 2, 3),
    version2(0x21, 0x31, ...unix),
  ]) {
    await using server = await startListener({ listener: { proxy: ['127.0.0.0/8'] } });
    using client = await server.connect('127.0.0.3');
    client.write(header);
    assert.match(await client.reply(), /^220/);
    const asked = server.policy.calls.map(({ request }) => request as { address: string; gateway?: boolean });
    assert.deepEqual([asked[0]?.address, asked[0]?.gateway], ['127.0.0.3', true]);
  }
});

test('a PROXY header of version 2 from any other address is not one, and the log says so', async () => {
  await using server = await startListener({ listener: { proxy: ['10.0.0.0/8'] } });
  using client = await server.connect();
  client.write(version2(0x21, 0x11, ...ADDRESSES));
  assert.match(await client.rest(), /421 4\.3\.5 PROXY header from an address that is not in listeners\[\]\.proxy/);
  await waitFor(() => server.log.some((l) => l['peer'] === '127.0.0.1' && /PROXY header/.test(JSON.stringify(l))), {
    what: 'a log line about it',
  });
});

test('a PROXY header that never ends is waited for no longer than a handshake', async () => {
  await using server = await startListener({
    listener: { proxy: ['127.0.0.0/8'] },
    config: { limits: { timeout: '200ms' } },
  });
  using client = await server.connect();
  client.write(version2(0x21, 0x11, ...ADDRESSES).subarray(0, 20));
  assert.equal(await client.rest(), '');
  await waitFor(() => server.log.some((l) => /PROXY header or TLS handshake took/.test(String(l['error']))), {
    what: 'a log line about it',
  });
});

test('a PROXY line from any other address, and a TLS handshake in the clear, are told apart from commands', async () => {
  await using server = await startListener({ listener: { proxy: ['10.0.0.0/8'] } });
  using client = await server.connect();
  await client.reply();
  const refused = '421 4.3.5 PROXY header from an address that is not in listeners[].proxy';
  assert.equal(await client.say('PROXY TCP4 192.0.2.7 198.51.100.1 40000 25'), refused);
  using secure = await server.connect();
  await secure.reply();
  secure.write(Buffer.from([22, 3, 1, 2, 0, 1]));
  assert.equal(await secure.reply(), '421 4.7.0 This port begins in clear text: TLS comes with STARTTLS');
});

const MATCHES: [networks: string[], address: string, matches: boolean][] = [
  [[], '10.0.0.1', false],
  [['10.0.0.0/8'], '10.1.2.3', true],
  [['10.0.0.0/8'], '::ffff:10.1.2.3', true],
  [['10.0.0.0/8'], '11.0.0.1', false],
  [['10.0.0.0/8'], 'fe80::1', false],
  [['192.0.2.1'], '192.0.2.1', true],
  [['192.0.2.1'], '192.0.2.2', false],
  [['2001:db8::/32'], '2001:db8:1::1', true],
  [['2001:db8::1'], '2001:DB8:0::1', true],
  [['10.0.0.0/8'], '', false],
  [['10.0.0.0/8'], '::10.1.2.3', false],
];

for (const [networks, address, expected] of MATCHES) {
  test(`${address || 'no address'} ${expected ? 'is' : 'is not'} in [${networks}]`, () => {
    assert.equal(speaksProxy(networks, address, false), expected);
  });
}

test('a connection that says nothing and leaves is a session all the same', async () => {
  await using server = await startListener();
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'data');
  socket.resetAndDestroy();
  await waitFor(() => server.log.some((l) => l.msg === 'session ended'), { what: 'the end of the session' });
  await waitFor(async () => (await server.status())[0]?.sessions === 0, { what: 'no session' });
});
