import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect } from 'nats';
import { z } from 'zod';
import { type Actor, announcer, client, listen, serve } from '#cluster/actor.ts';
import type { BusReply } from '#cluster/bus/bus.ts';
import { decodeReply, encodeRequest } from '#cluster/bus/frame.ts';
import { NatsBus, type NatsBusOptions } from '#cluster/bus/nats-bus.ts';
import { eventSubject, operationSubject } from '#cluster/bus/subjects.ts';
import { defineContract } from '#shared/contract.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import type { SealpostError } from '#shared/errors.ts';
import { silentLogger } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { type NatsServer, startNatsServer } from '#test/kit/bus/nats-server.ts';
import { freePort } from '#test/kit/free-port.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { writeCertificate } from '#test/kit/nodes/certificate.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { type Buses, busSuite, HOME, TestService, testContract } from '#test/suites/bus.ts';
import { newContract, oldContract, serveNew, serveOld, versionsSuite } from '#test/suites/versions.ts';

const nats = needs('nats-server');
const address = (operation: string) => ({ service: testContract.name, version: 1, operation });
const code = (expected: string) => ({ code: expected });

type TestBus = NatsBus & AsyncDisposable;
async function join(server: NatsServer, node: string, options: Partial<NatsBusOptions> = {}): Promise<TestBus> {
  const bus = await NatsBus.connect({ servers: [server.url], node, log: silentLogger, ...options });
  return Object.assign(bus, { [Symbol.asyncDispose]: () => bus.drain() });
}

/** Resolves when a call is answered. */
async function answered(bus: NatsBus): Promise<void> {
  await waitFor(() => client(bus, testContract).digest({}, { timeout: 1000 }), {
    what: 'an answer over NATS',
    timeout: 10_000,
  });
}

if (nats.skip === false) {
  const makeBuses = async (): Promise<Buses> => {
    const server = await startNatsServer();
    const serving = await join(server, HOME);
    const calling = await join(server, 'other');
    return {
      serving,
      calling,
      settle: async () => {
        await serving.flush();
        await calling.flush();
      },
      [Symbol.asyncDispose]: async () => {
        await calling.drain();
        await serving.drain();
        await server[Symbol.asyncDispose]();
      },
    };
  };
  busSuite('NatsBus', makeBuses);
  versionsSuite('NatsBus', makeBuses);
}

test(
  'a repeatable call that an instance swallows is answered by another one; of others nobody asks twice',
  nats,
  async () => {
    await using server = await startNatsServer();
    await using serving = await join(server, 'a');
    await using calling = await join(server, 'c');
    const contract = defineContract('swallowed', 1, {
      operations: {
        ask: { request: z.object({}), reply: z.object({ here: z.literal(true) }), repeatable: true },
        once: { request: z.object({}), reply: z.object({}) },
      },
    });
    // It is in the group of those who serve, as one is for a moment that has just ended, and answers nothing.
    const silent = await connect({ servers: server.url });
    let swallowed = 0;
    for (const operation of ['ask', 'once']) {
      const subject = operationSubject({ service: contract.name, version: 1, operation });
      silent.subscribe(subject, { queue: contract.name, callback: () => void swallowed++ });
    }
    await silent.flush();
    const call = client(calling, contract);
    const first = call.ask({});
    const once = call.once({}, { timeout: 4000 });
    const failed = assert.rejects(once, code('timeout'));
    await waitFor(() => swallowed === 2, { what: 'both to be swallowed' });
    const handlers = { ask: () => ({ here: true as const }), once: () => ({}) };
    const life = { start: async () => undefined, stop: async () => undefined };
    serve(serving, { contract, handlers, ...life }, silentLogger);
    await serving.flush();
    await silent.close();
    assert.deepEqual(await first, { here: true });
    await failed;
  },
);

test(
  'among processes of two versions a call goes to its own, and to the other where its own are full or gone',
  nats,
  async () => {
    await using server = await startNatsServer();
    await using old = await join(server, 'a');
    await using newer = await join(server, 'b');
    await using calling = await join(server, 'c');
    const [before, now]: { seen: string[]; fails?: ErrorCode }[] = [{ seen: [] }, { seen: [] }];
    assert.ok(before !== undefined && now !== undefined);
    serveOld(old, before);
    serveNew(newer, now);
    await Promise.all([old.flush(), newer.flush()]);
    const call = client(calling, newContract);
    for (let i = 0; i < 20; i++) await call.delay({ ms: 1000 });
    assert.deepEqual([now.seen.length, before.seen.length], [20, 0]);
    now.fails = 'full';
    await call.delay({ ms: 1000 });
    assert.deepEqual(before.seen, ['old 1 s']);
    // Not where it matters who answers.
    await assert.rejects(call.delay({ ms: 1000 }, { node: 'b' }), code('full'));
    delete now.fails;
    await newer.drain();
    await call.delay({ ms: 1000 });
    assert.equal(before.seen.length, 2);
    // An older caller is served by both.
    await using third = await join(server, 'd');
    serveNew(third, now);
    await third.flush();
    const seen = () => now.seen.length > 20 && before.seen.length > 2;
    const older = client(calling, oldContract);
    await waitFor(() => older.delay({ seconds: 1 }).then(seen), { what: 'both to be asked' });
  },
);

test('a call prefers its own process, then its own node, then any', nats, async () => {
  await using server = await startNatsServer();
  await using own = await join(server, 'a');
  await using sameNode = await join(server, 'a');
  await using otherNode = await join(server, 'b');
  const where = async (): Promise<string> => {
    const answer = await own.call(address('where'), { fields: {}, timeout: 2000 });
    assert.ok(answer.ok);
    return String(answer.fields);
  };
  const here = (bus: NatsBus, name: string) => bus.serve(address('where'), async () => ({ ok: true, fields: name }));

  here(otherNode, 'other node');
  await otherNode.flush();
  assert.equal(await where(), 'other node');
  const stopSameNode = here(sameNode, 'same node');
  await sameNode.flush();
  // The own node's mailbox counts as unserved for a second after the first call; until then any may answer.
  await waitFor(
    async () => {
      for (let i = 0; i < 20; i++) if ((await where()) !== 'same node') return false;
      return true;
    },
    { what: 'the own node to be preferred' },
  );
  const stopOwn = here(own, 'own process');
  for (let i = 0; i < 20; i++) assert.equal(await where(), 'own process');
  assert.deepEqual(await own.call(address('where'), { fields: {}, timeout: 2000 }, 'b'), {
    ok: true,
    fields: 'other node',
    bytes: new Uint8Array(0),
  });
  stopOwn();
  assert.equal(await where(), 'same node');
  stopSameNode();
  await sameNode.flush();
  assert.equal(await where(), 'other node');
});

test('a call that an instance declines goes to another one, and fails when all decline', nats, async () => {
  await using server = await startNatsServer();
  const full = new TestService();
  const contract = { ...testContract, operations: { fail: testContract.operations.fail } };
  const life = { start: async () => undefined, stop: async () => undefined };
  const serveOn = async (bus: NatsBus, how: () => string): Promise<Actor> => {
    const fail = ({ how: wanted }: { how: string }) => {
      if (how() === '') return {};
      return full.handlers.fail(
        { how: how() === 'told' ? wanted : how() },
        { bytes: new Uint8Array(0), trace: undefined },
      );
    };
    const actor = serve(bus, { contract, handlers: { fail }, ...life }, silentLogger);
    await bus.flush();
    return actor;
  };
  await using own = await join(server, 'a');
  await using second = await join(server, 'a');
  await using third = await join(server, 'b');
  await using fourth = await join(server, 'c');
  await using outside = await join(server, 'd');
  let last = 'full';
  for (const bus of [own, second, third]) await serveOn(bus, () => 'full');
  await serveOn(fourth, () => last);
  const calls = [client(own, contract), client(outside, contract)];
  for (const call of calls) {
    // Who declined is out of the shared mailbox for a moment: a call may find nobody at all.
    const refusal = (): Promise<string> => call.fail({ how: '' }).then(String, (error: SealpostError) => error.code);
    await waitFor(async () => (await refusal()) === 'full', { what: 'the reason why all decline' });
  }
  last = '';
  await waitFor(() => calls[1]?.fail({ how: '' }), { what: 'the fourth to be back' });
  for (let i = 0; i < 50; i++) for (const call of calls) await call.fail({ how: '' });
  // A node that is named answers for itself; what is no matter of the instance is asked once.
  await assert.rejects(client(outside, contract).fail({ how: '' }, { node: 'b' }), code('full'));
  last = 'not-found';
  await assert.rejects(client(outside, contract).fail({ how: '' }), code('not-found'));
});

test('a hanging process on the own node does not hold up those who have another to ask', nats, async () => {
  await using server = await startNatsServer();
  await using calling = await join(server, 'a');
  await using hanging = await join(server, 'a');
  await using other = await join(server, 'b');
  const hung = Promise.withResolvers<never>();
  const stop = hanging.serve(address('where'), () => hung.promise);
  other.serve(address('where'), async () => ({ ok: true, fields: 'other' }));
  await hanging.flush();
  await other.flush();
  const ask = () => calling.call(address('where'), { fields: {}, timeout: 100 });
  await assert.rejects(ask(), code('timeout'));
  // The server chooses between the two: one of them answers.
  await waitFor(ask, { what: 'an answer of the other node', timeout: 5000 });
  stop();
  hung.reject(new Error('over'));
});

test('a service that stops under load leaves no call unanswered', nats, async () => {
  await using server = await startNatsServer();
  await using calling = await join(server, 'caller');
  const call = client(calling, testContract);
  for (let round = 0; round < 5; round++) {
    await using serving = await join(server, 'a');
    const actor = new TestService().serve(serving);
    await serving.flush();
    const outcomes: Promise<string>[] = [];
    const ask = (): void => {
      for (let i = 0; i < 200; i++) {
        const outcome = call.digest({}, { timeout: 3000, bytes: Buffer.alloc(1000) });
        outcomes.push(
          outcome.then(
            () => 'answered',
            (error: SealpostError) => error.code,
          ),
        );
      }
    };
    ask();
    await outcomes[0];
    ask();
    await new Promise(setImmediate);
    actor.close();
    ask();
    const codes = new Set(await Promise.all(outcomes));
    assert.ok(!codes.has('timeout'), `round ${round}: ${[...codes]}`);
    assert.ok(codes.has('answered') && codes.has('unavailable'), `round ${round}: ${[...codes]}`);
  }
});

test('a process that drains does not come back to a subject that it left for a moment', nats, async () => {
  await using server = await startNatsServer();
  await using leaving = await join(server, 'a');
  const answer = Promise.withResolvers<BusReply>();
  leaving.serve(address('wait'), () => answer.promise);
  const elsewhere: BusReply = { ok: false, code: 'unavailable', message: 'not here', elsewhere: true };
  leaving.serve(address('where'), async () => elsewhere);
  await leaving.flush();
  const stranger = await connect({ servers: server.url });
  const ask = (operation: string) =>
    stranger.request(operationSubject(address(operation)), encodeRequest({ fields: {}, timeout: 5000 }), {
      timeout: 5000,
    });
  const waiting = ask('wait');
  assert.deepEqual(decodeReply((await ask('where')).data), elsewhere);
  const drained = leaving.drain();
  for (const end = performance.now() + 300; performance.now() < end; ) await assert.rejects(ask('where'), code('503'));
  answer.resolve({ ok: true, fields: {} });
  await waiting;
  await drained;
  await stranger.close();
});

test('an absent own node costs no round trip with every call', nats, async () => {
  await using server = await startNatsServer({ args: ['-V'] });
  await using serving = await join(server, 'b');
  await using calling = await join(server, 'a');
  new TestService().serve(serving);
  await serving.flush();
  for (let i = 0; i < 50; i++) await client(calling, testContract).digest({});
  const published = (subject: string) => server.output.split(`[PUB ${subject} `).length - 1;
  await waitFor(() => published(operationSubject(address('digest'))) === 50, { what: 'the trace of 50 calls' });
  assert.equal(published(operationSubject(address('digest'), 'a')), 1);
});

test('an event reaches several processes, and each of its listeners once', nats, async () => {
  await using server = await startNatsServer();
  const buses = [await join(server, 'a'), await join(server, 'a'), await join(server, 'b')];
  const heard: string[] = [];
  for (const [i, bus] of buses.entries()) {
    for (const name of ['x', 'y']) {
      listen(bus, testContract, silentLogger)('changed', ({ revision }) => heard.push(`${i}${name}${revision}`));
    }
    await bus.flush();
  }
  for (const [i, bus] of buses.entries()) announcer(bus, testContract)('changed', { revision: i });
  const expected = [0, 1, 2].flatMap((i) => ['x', 'y'].flatMap((name) => [0, 1, 2].map((r) => `${i}${name}${r}`)));
  await waitFor(() => heard.length >= expected.length, { what: 'all events' });
  for (const bus of buses) await bus.flush();
  assert.deepEqual(heard.toSorted(), expected.toSorted());
  for (const bus of buses) await bus.drain();
});

test('a killed server makes calls unavailable at once; when it is back they work again', nats, async () => {
  await using server = await startNatsServer();
  const { log, lines } = logLines();
  await using serving = await join(server, 'a');
  await using calling = await join(server, 'b', { log });
  const service = new TestService();
  service.serve(serving);
  const heard: number[] = [];
  listen(calling, testContract, silentLogger)('changed', ({ revision }) => heard.push(revision));
  await answered(calling);

  // It may or may not have been done.
  const underWay = assert.rejects(
    client(calling, testContract).wait({ key: 'x' }, { timeout: 60_000 }),
    code('timeout'),
  );
  await waitFor(() => service.seen.includes('wait x'), { what: 'the call to be under way' });
  await server.kill();
  await underWay;
  await service.release('x');
  await waitFor(() => !calling.connected && !serving.connected, { what: 'both to notice' });
  const start = performance.now();
  await assert.rejects(client(calling, testContract).digest({}, { timeout: 60_000 }), code('unavailable'));
  assert.ok(performance.now() - start < 10_000);
  // What is in the own process goes on.
  assert.equal((await client(serving, testContract).digest({})).length, 0);

  await server.restart();
  await answered(calling);
  await waitFor(
    () => {
      announcer(serving, testContract)('changed', { revision: 1 });
      return heard.length > 0;
    },
    { what: 'an event after the restart' },
  );
  assert.ok(lines().some((line) => line.msg.includes('connection to NATS lost')));
});

test('a server that is down at the start is waited for, and the log says so', nats, async () => {
  await using server = await startNatsServer();
  await server.stop();
  const { log, lines } = logLines();
  await using serving = await join(server, 'a', { log });
  await using calling = await join(server, 'b');
  new TestService().serve(serving);
  assert.equal(serving.connected, false);
  assert.match(lines()[0]?.msg ?? '', /waiting for NATS/);
  assert.match(String(lines()[0]?.['error']), /nats:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  await assert.rejects(client(calling, testContract).digest({}), code('unavailable'));
  await server.restart();
  await answered(calling);
  assert.equal(serving.connected, true);
});

test('another server of the list takes over', nats, async () => {
  await using first = await startNatsServer();
  await using second = await startNatsServer();
  const servers = [first.url, second.url];
  await first.stop();
  await using bus = await join(second, 'a', { servers });
  assert.equal(bus.connected, true);
  await second.stop();
  await first.restart();
  await waitFor(() => bus.connected, { what: 'the other server', timeout: 10_000 });
});

test('the server that was just lost is tried last: one whose machine is silent costs no time', nats, async (t) => {
  // The order in which servers are tried is that of the list.
  t.mock.method(Math, 'random', () => 0);
  await using first = await startNatsServer();
  await using second = await startNatsServer();
  const sockets = new Set<Socket>();
  let silent = false;
  await using way = createServer((client) => {
    sockets.add(client.on('error', () => undefined));
    if (!silent) client.pipe(connectSocket(first.port, '127.0.0.1').on('error', () => undefined)).pipe(client);
  }).listen(0, '127.0.0.1');
  await once(way, 'listening');
  const { port } = way.address() as { port: number };
  await using bus = await join(first, 'one', { servers: [`nats://127.0.0.1:${port}`, second.url] });
  silent = true;
  const began = performance.now();
  for (const socket of sockets) socket.destroy();
  await waitFor(() => !bus.connected, { what: 'the loss to be seen' });
  await waitFor(() => bus.connected, { what: 'the other server', timeout: 10_000 });
  const took = performance.now() - began;
  for (const socket of sockets) socket.destroy();
  assert.ok(took < 2500, `${took} ms`);
});

test('draining while no server answers ends soon', nats, async () => {
  const port = await freePort();
  const bus = await NatsBus.connect({ servers: [`nats://127.0.0.1:${port}`], node: 'a', log: silentLogger });
  const start = performance.now();
  await bus.drain();
  // Two waits of three seconds are what it must not cost.
  assert.ok(performance.now() - start < 2500);
});

test('something that is no NATS server, or says nothing, is named in the log', nats, async () => {
  await using smtp = createServer((socket) => socket.end('220 mx.test ESMTP\r\n')).listen(0, '127.0.0.1');
  await once(smtp, 'listening');
  const { port } = smtp.address() as { port: number };
  const { log, lines } = logLines();
  const bus = await NatsBus.connect({ servers: [`nats://127.0.0.1:${port}`], node: 'a', log });
  await bus.drain();
  assert.match(String(lines()[0]?.['error']), /what answers is not a NATS server/);
});

test('a server that accepts and says nothing is named in the log, and keeps no connection', nats, async () => {
  const open = new Set<Socket>();
  await using silent = createServer((socket) => {
    open.add(socket);
    socket
      .on('error', () => undefined)
      .on('close', () => open.delete(socket))
      .resume();
  }).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as { port: number };
  const { log, lines } = logLines();
  const bus = await NatsBus.connect({ servers: [`nats://127.0.0.1:${port}`], node: 'a', log });
  assert.match(String(lines()[0]?.['error']), /no answer within 3000 ms/);
  await waitFor(() => open.size === 0, { what: 'the first try to end' });
  await waitFor(() => open.size === 1, { what: 'the next try' });
  await bus.drain();
  await waitFor(() => open.size === 0, { what: 'the try that was under way to end', timeout: 1500 });
});

test('a frozen server times calls out; the bus recovers when it goes on', nats, async () => {
  await using server = await startNatsServer();
  await using serving = await join(server, 'a');
  await using calling = await join(server, 'b');
  new TestService().serve(serving);
  await answered(calling);
  await server.pause();
  await assert.rejects(client(calling, testContract).digest({}, { timeout: 200 }), code('timeout'));
  server.resume();
  await answered(calling);
});

test('what a frozen server does not read stays bounded', nats, async () => {
  await using server = await startNatsServer();
  await using serving = await join(server, 'a');
  await using calling = await join(server, 'b');
  new TestService().serve(serving);
  await answered(calling);
  await server.pause();
  const bytes = new Uint8Array(1_000_000);
  const send = () => client(calling, testContract).digest({}, { bytes, timeout: 50 });
  const outcomes = await Promise.allSettled(Array.from({ length: 150 }, send));
  const codes = outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code);
  assert.deepEqual(new Set(codes), new Set(['timeout', 'busy']));
  // The callers have given up; the bytes still wait.
  await assert.rejects(send(), code('busy'));
  server.resume();
  await answered(calling);
});

test(
  'a request above the server’s limit is refused before it is sent, and a reply above it is an error',
  nats,
  async () => {
    await using server = await startNatsServer({ config: 'max_payload: 100000' });
    await using serving = await join(server, 'a');
    await using calling = await join(server, 'b');
    const service = new TestService();
    service.serve(serving);
    await serving.flush();
    const call = client(calling, testContract);
    assert.equal(calling.maxPayload, 100_000);
    assert.equal((await call.digest({}, { bytes: new Uint8Array(99_900) })).length, 99_900);
    await assert.rejects(call.digest({}, { bytes: new Uint8Array(100_000) }), code('too-large'));
    assert.deepEqual(service.seen, ['digest']);
    await assert.rejects(call.bytes({ length: 100_000 }), code('too-large'));
    assert.equal((await call.digest({})).length, 0);
  },
);

test('a reply that is no JSON data is internal', nats, async () => {
  await using server = await startNatsServer();
  await using serving = await join(server, 'a');
  await using calling = await join(server, 'b');
  serving.serve(address('odd'), async () => ({ ok: true, fields: 1n }));
  await serving.flush();
  const answer = await calling.call(address('odd'), { fields: {}, timeout: 2000 });
  assert.equal(answer.ok === false && answer.code, 'internal');
});

test('a stranger’s garbage on our subjects is answered, logged and harmless', nats, async () => {
  await using server = await startNatsServer();
  const { log, lines } = logLines();
  await using serving = await join(server, 'a', { log });
  const service = new TestService();
  service.serve(serving);
  const heard: unknown[] = [];
  listen(serving, testContract, log)('changed', (payload) => heard.push(payload));
  await serving.flush();
  const stranger = await connect({ servers: server.url });
  try {
    const subject = operationSubject(address('digest'));
    const good = encodeRequest({ fields: {}, timeout: 1000 });
    for (const garbage of [
      new Uint8Array(0),
      Buffer.from('hello'),
      good.subarray(0, -1),
      Buffer.concat([good, good]),
    ]) {
      const answer = decodeReply((await stranger.request(subject, garbage)).data);
      if (garbage.length > good.length) assert.equal(answer.ok, true);
      else assert.equal(answer.ok === false && answer.code, 'malformed', Buffer.from(garbage).toString());
    }
    assert.deepEqual(service.seen, ['digest']);
    stranger.publish(subject, good);
    // Answered, it would be our words on a subject where the stranger may not speak.
    stranger.publish(subject, good, { reply: eventSubject(testContract.name, 1, 'changed') });
    stranger.publish(eventSubject(testContract.name, 1, 'changed'), Buffer.from('garbage'));
    stranger.publish(eventSubject(testContract.name, 1, 'changed'), new Uint8Array(0));
    await stranger.flush();
    await waitFor(() => lines().filter((line) => line.msg === 'malformed event dropped').length === 1, {
      what: 'the log',
    });
    assert.ok(lines().some((line) => line.msg.includes('wants no reply')));
    assert.ok(lines().some((line) => line.msg.includes('on a subject that is not an inbox')));
    assert.deepEqual(service.seen, ['digest']);
    assert.deepEqual(heard, []);
    await using calling = await join(server, 'b');
    await answered(calling);
  } finally {
    await stranger.close();
  }
});

const USERS = `authorization { users = [
  { user: all, password: secret }
  { user: caller, password: secret, permissions: { publish: ["sealpost.v1.test-service.digest.>", "sealpost.v1.test-service.digest"], subscribe: ["_INBOX_caller.>"] } }
] }`;

test('a wrong password is told in the log and tried again; the right one gets in', nats, async () => {
  await using server = await startNatsServer({ config: USERS });
  const { log, lines } = logLines();
  await using wrong = await join(server, 'a', { log, user: 'all', password: new Secret('wrong') });
  assert.equal(wrong.connected, false);
  assert.match(JSON.stringify(lines()), /Authorization Violation/i);
  assert.doesNotMatch(JSON.stringify(lines()), /"wrong"/);
  await using right = await join(server, 'a', { user: 'all', password: new Secret('secret') });
  assert.equal(right.connected, true);
});

test('what the user may not do is told in the log; the call is unavailable at once', nats, async () => {
  await using server = await startNatsServer({ config: USERS });
  const all = { user: 'all', password: new Secret('secret') };
  await using serving = await join(server, 'a', all);
  const service = new TestService();
  service.serve(serving);
  await serving.flush();
  const { log, lines } = logLines();
  await using calling = await join(server, 'b', { ...all, user: 'caller', log });
  const call = client(calling, testContract);
  assert.equal((await call.digest({})).length, 0);
  await assert.rejects(call.trace({}, { timeout: 60_000 }), code('unavailable'));
  assert.equal((await call.digest({})).length, 0);
  calling.serve({ service: 'forbidden', version: 1, operation: 'x' }, async () => ({ ok: true, fields: {} }));
  await waitFor(() => lines().some((line) => line['operation'] === 'subscription'), {
    what: 'the refused subscription',
  });
  assert.ok(lines().some((line) => /permits user caller no publish on sealpost.*trace/.test(line.msg)));
});

test('TLS: the certificate must name the server that the configuration names', nats, async () => {
  await using dir = await tempDir();
  const files = await writeCertificate(dir.path, { names: ['localhost'] });
  const config = `tls { cert_file: "${files.certificateFile}", key_file: "${files.keyFile}", ca_file: "${files.caFile}", verify: true }`;
  await using server = await startNatsServer({ config });
  await using clear = await startNatsServer();
  const tls = { ca: files.caFile, certificate: files.certificateFile, key: files.keyFile };
  const { log, lines } = logLines();
  const attempt = async (options: Partial<NatsBusOptions>): Promise<boolean> => {
    await using bus = await join(server, 'a', { log, ...options });
    return bus.connected;
  };
  const named = `tls://localhost:${server.port}`;
  assert.equal(await attempt({ servers: [named], tls }), true);
  assert.equal(await attempt({ servers: [named], tls: { ca: files.caFile } }), false, 'no client certificate');
  assert.equal(await attempt({ servers: [named] }), false, 'unknown authority');
  assert.equal(await attempt({ servers: [`tls://127.0.0.1:${server.port}`], tls }), false, 'another name');
  assert.match(JSON.stringify(lines().at(-1)), /127\.0\.0\.1 is not in the cert|does not match/);
  assert.equal(await attempt({ servers: [clear.url], tls }), false, 'clear text');
});

test('credentials in a server’s address are refused with a hint', async () => {
  const options = { servers: ['nats://me:secret@127.0.0.1:4222'], node: 'a', log: silentLogger };
  await assert.rejects(NatsBus.connect(options), (error: SealpostError) => {
    assert.match(error.message, /bus\.user/);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
});
