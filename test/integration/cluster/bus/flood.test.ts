import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from 'nats';
import { client } from '#cluster/actor.ts';
import { encodeRequest } from '#cluster/bus/frame.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { operationSubject } from '#cluster/bus/subjects.ts';
import { silentLogger } from '#shared/log.ts';
import { type NatsServer, startNatsServer } from '#test/kit/bus/nats-server.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { waitFor } from '#test/kit/wait.ts';
import { TestService, testContract } from '#test/suites/bus.ts';

const nats = needs('nats-server');
const address = { service: testContract.name, version: testContract.version, operation: 'echo' };
const words = { text: 'a few words', count: 1, list: [{ key: 'x' }] };

type TestBus = NatsBus & AsyncDisposable;
async function join(server: NatsServer, node: string): Promise<TestBus> {
  const bus = await NatsBus.connect({ servers: [server.url], node, log: silentLogger });
  return Object.assign(bus, { [Symbol.asyncDispose]: () => bus.drain() });
}

/** Publish on a subject until `enough` of it found nobody; resolves to how much was published. */
async function flood(server: NatsServer, subject: string, frame: Uint8Array, enough: number): Promise<number> {
  const attacker = await connect({ servers: server.url });
  let unheard = 0;
  attacker.subscribe('_INBOX.attack.>', {
    callback: (_error, message) => {
      if (message.headers?.code === 503) unheard++;
    },
  });
  let sent = 0;
  await waitFor(
    async () => {
      for (let i = 0; i < 5000; i++) attacker.publish(subject, frame, { reply: `_INBOX.attack.${sent++}` });
      await attacker.flush();
      return unheard >= enough;
    },
    { what: `a flood of ${subject} to find nobody` },
  );
  await attacker.close();
  return sent;
}

const requests = encodeRequest({ fields: words, timeout: 1000 });
const floods: { what: string; subject: (process: string) => string; frame: Uint8Array }[] = [
  { what: 'requests for any instance', subject: () => operationSubject(address), frame: requests },
  { what: 'requests for a node', subject: () => operationSubject(address, 'home'), frame: requests },
  { what: 'rubbish for any instance', subject: () => operationSubject(address), frame: Buffer.from('rubbish') },
];

for (const { what, subject, frame } of floods) {
  test(`a process leaves the subject on which it is flooded with ${what}, and goes on answering`, nats, async () => {
    await using server = await startNatsServer();
    await using serving = await join(server, 'home');
    new TestService().serve(serving);
    await using calling = await join(server, 'door');
    const call = client(calling, testContract);
    const { process, connection } = serving;
    let answers = 0;
    const abort = new AbortController();
    const asking = (async () => {
      while (!abort.signal.aborted) {
        // Its heartbeat.
        calling.heard({ node: 'home', process, connection, services: [testContract.name], serving: true });
        await call.echo(words, { timeout: 5000 });
        answers++;
      }
    })();
    const sent = await flood(server, subject('home'), frame, 50_000);
    abort.abort();
    await asking;
    assert.ok(answers > 0, `no call was answered while ${sent} requests came`);
    // Once it is over, the subject is heard again.
    const stranger = await connect({ servers: server.url });
    await waitFor(() => stranger.request(subject('home'), requests, { timeout: 1000 }), {
      what: 'the subject to be heard',
    });
    await stranger.close();
  });
}
