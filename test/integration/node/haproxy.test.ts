import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '#test/kit/free-port.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type Haproxy, startHaproxy } from '#test/kit/smtp/haproxy.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Listeners behind a real HAProxy with the configuration of the example. */

const CLIENT = '127.0.0.9';

/** A node that lets one client relay, whose address only HAProxy knows. */
async function behindProxy(options: { sink: number; listener: string; config?: string }): Promise<SealpostNode> {
  const port = await freePort();
  const { sink, listener, config = '' } = options;
  return SealpostNode.create({
    ...{ port, sink },
    config: [
      `relay: { allow: { hosts: [${CLIENT}] } }`,
      `listeners: [{ name: mx, address: 127.0.0.1, port: ${port}, proxy: [127.0.0.1], ${listener} }]`,
      config,
    ].join('\n'),
  });
}

/** The reply to a recipient elsewhere. */
async function asksToRelay(haproxy: Haproxy, localAddress: string, implicitTls = false): Promise<number> {
  await using client = await Dialog.connect(haproxy.port, { localAddress, implicitTls });
  await client.expect(220);
  await client.say('EHLO client.test', 250);
  await client.say('MAIL FROM:<someone@example.com>', 250);
  const { code } = await client.command('RCPT TO:<somebody@elsewhere.test>');
  await client.say('QUIT', 221);
  return code;
}

test('policy sees the client, a dead listener is taken out, and mail goes on', needs('haproxy'), async () => {
  await using sink = await Tally.start();
  await using one = await behindProxy({ sink: sink.port, listener: 'kind: relay, tls: none' });
  await using two = await behindProxy({ sink: sink.port, listener: 'kind: relay, tls: none' });
  await Promise.all([one.start(), two.start()]);
  await using haproxy = await startHaproxy('mx', [one.port, two.port]);

  assert.equal(await asksToRelay(haproxy, CLIENT), 250);
  assert.equal(await asksToRelay(haproxy, '127.0.0.8'), 554);
  assert.doesNotMatch(haproxy.output(), /is DOWN/);

  const load = new Load('haproxy', { port: haproxy.port, sessions: 6, rate: 100, localAddress: CLIENT });
  load.start();
  const more = (count: number): Promise<boolean> => {
    const before = load.accepted.size;
    return waitFor(() => load.accepted.size >= before + count, { what: `${count} messages`, timeout: 40_000 });
  };
  await more(50);
  // Frozen: it takes connections and never greets, which only a check that speaks SMTP finds out.
  await one.programs.get('all')?.pause();
  await waitFor(() => /mx\/listener-1 is DOWN/.test(haproxy.output()), { what: 'it to be out', timeout: 40_000 });
  await more(50);
  one.programs.get('all')?.resume();
  await waitFor(() => /mx\/listener-1 is UP/.test(haproxy.output()), { what: 'it to be back', timeout: 40_000 });
  await two.programs.get('all')?.kill();
  await more(50);
  await waitFor(() => /mx\/listener-2 is DOWN/.test(haproxy.output()), {
    what: 'the other to be out',
    timeout: 40_000,
  });
  await more(50);
  await load.stop();
  assert.deepEqual([...load.refused], []);
  await two.start();
  await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), { what: 'all mail', timeout: 30_000 });
});

test('HAProxy may speak version 2 of the PROXY protocol, also in its checks', needs('haproxy'), async () => {
  await using sink = await Tally.start();
  await using node = await behindProxy({ sink: sink.port, listener: 'kind: relay, tls: none' });
  await node.start();
  await using haproxy = await startHaproxy('mx', [node.port, await freePort()], 'send-proxy-v2');
  await waitFor(() => /listener-2 is DOWN/.test(haproxy.output()), {
    what: 'the absent one to be out',
    timeout: 40_000,
  });
  assert.equal(await asksToRelay(haproxy, CLIENT), 250);
  assert.equal(await asksToRelay(haproxy, '127.0.0.8'), 554);
  assert.doesNotMatch(haproxy.output(), /listener-1 is DOWN/);
});

test(
  'a port with TLS from the first byte: the same client, and a check that speaks TLS',
  needs('haproxy'),
  async () => {
    await using sink = await Tally.start();
    await using dir = await tempDir('haproxy');
    const { certificateFile, keyFile } = await writeCertificate(dir.path);
    const config = `tls: { certificate: ${certificateFile}, key: ${keyFile} }`;
    await using node = await behindProxy({ sink: sink.port, listener: 'kind: relay, tls: implicit', config });
    await node.start();
    await using haproxy = await startHaproxy('submissions', [node.port, await freePort()]);
    await waitFor(() => /listener-2 is DOWN/.test(haproxy.output()), {
      what: 'the absent one to be out',
      timeout: 40_000,
    });
    assert.equal(await asksToRelay(haproxy, CLIENT, true), 250);
    assert.equal(await asksToRelay(haproxy, '127.0.0.8', true), 554);
    assert.doesNotMatch(haproxy.output(), /listener-1 is DOWN/);
  },
);
