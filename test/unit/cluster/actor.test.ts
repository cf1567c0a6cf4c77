import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client, listen, serve } from '#cluster/actor.ts';
import type { Bus, BusHandler, BusRequest } from '#cluster/bus/bus.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { operationSubject } from '#cluster/bus/subjects.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { TestService, testContract } from '#test/suites/bus.ts';

const life = { start: async () => undefined, stop: async () => undefined };

test('a service without a handler for an operation is refused when it is served', () => {
  const { echo: _, ...handlers } = new TestService().handlers;
  const service = { contract: testContract, handlers: handlers as TestService['handlers'], ...life };
  assert.throws(() => serve(new LocalBus('n'), service, silentLogger), /test-service has no handler for echo/);
});

test('a closed actor serves nothing any more', async () => {
  const bus = new LocalBus('n');
  const actor = new TestService().serve(bus);
  const call = client(bus, testContract);
  assert.equal((await call.digest({})).length, 0);
  actor.close();
  await assert.rejects(call.digest({}), { code: 'unavailable' });
});

test('the deadline is the call’s, else the operation’s, else ten seconds', async () => {
  const timeouts: number[] = [];
  const record = (_: unknown, request: BusRequest) => {
    timeouts.push(request.timeout);
    return Promise.resolve({ ok: true, fields: {} } as const);
  };
  const bus = { call: record } as unknown as Bus;
  const { fail } = testContract.operations;
  const call = client(bus, { ...testContract, operations: { fail, slow: { ...fail, timeout: 60_000 } } });
  await call.fail({ how: '' });
  await call.slow({ how: '' });
  await call.slow({ how: '' }, { timeout: 5 });
  assert.deepEqual(timeouts, [10_000, 60_000, 5]);
});

test('the log says which operation failed for which mail, and never shows the request or its bytes', async () => {
  const { log, lines } = logLines();
  const bus = new LocalBus('n');
  const { handlers } = new TestService();
  serve(bus, { contract: testContract, handlers, ...life }, log);
  const call = client(bus, testContract);
  await assert.rejects(call.fail({ how: 'bug' }, { trace: 'T1' }), { code: 'internal' });
  const address = { service: 'test-service', version: 1, operation: 'digest' };
  await bus.call(address, { fields: 'SECRET', bytes: Buffer.from('SECRET'), trace: 'T2', timeout: 1000 });
  const [failed = '', refused = ''] = lines().map((line) => JSON.stringify(line));
  assert.match(failed, /"operation":"test-service\.fail","trace":"T1".*TypeError: x is not a function/);
  assert.match(refused, /"operation":"test-service\.digest","trace":"T2".*malformed request refused/);
  assert.doesNotMatch(JSON.stringify(lines()), /SECRET/);
});

test('changes are noted before they are answered, with who asked and how they ended', async () => {
  const bus = new LocalBus('n');
  const { fail, echo } = testContract.operations;
  const about = (request: { how: string }) => (request.how === 'nothing' ? undefined : `how: ${request.how}`);
  const contract = {
    ...testContract,
    operations: { ...testContract.operations, fail: { ...fail, audited: about }, echo },
  };
  const noted: object[] = [];
  const audit = async (change: object) => {
    await Promise.resolve();
    noted.push(change);
  };
  serve(bus, { contract, handlers: new TestService().handlers, ...life }, silentLogger, { audit });
  const ask = (fields: unknown, by?: string, operation = 'fail') =>
    bus.call({ service: 'test-service', version: 1, operation }, { fields, timeout: 1000, by });
  const change = { service: 'test-service', operation: 'fail' };
  await ask({ how: 'not-found' }, 'alice');
  assert.deepEqual(noted.splice(0), [{ ...change, by: 'alice', about: 'how: not-found', outcome: 'not-found' }]);
  await ask({ how: 'bug' });
  assert.deepEqual(noted.splice(0), [
    { ...change, by: 'a process of this node', about: 'how: bug', outcome: 'internal' },
  ]);
  // What changes nothing, what is no request, and what is no change.
  await ask({ how: 'nothing' }, 'alice');
  await ask({ how: 7 }, 'alice');
  await ask({ text: '' }, 'alice', 'echo');
  assert.deepEqual(noted, []);
});

test('the log names a code that an operation does not declare', async () => {
  const { log, lines } = logLines();
  const bus = new LocalBus('n');
  serve(bus, { contract: testContract, handlers: new TestService().handlers, ...life }, log);
  await assert.rejects(client(bus, testContract).fail({ how: 'exists' }), { code: 'internal' });
  assert.match(JSON.stringify(lines()), /test-service\.fail failed with exists, which its contract does not declare/);
});

test('requests that hold too many bytes together are answered busy', async () => {
  const bus = new LocalBus('n');
  const service = new TestService();
  service.serve(bus);
  const call = client(bus, testContract);
  // Never touched, so it costs no memory.
  const large = new Uint8Array(200 * 1024 * 1024);
  const first = call.wait({ key: 'a' }, { bytes: large });
  await assert.rejects(call.wait({ key: 'b' }, { bytes: large }), { code: 'busy' });
  await service.release('a');
  await first;
  const again = call.wait({ key: 'c' }, { bytes: large });
  await service.release('c');
  await again;
});

test('an event that the contract does not have cannot be listened to', () => {
  const hear = listen(new LocalBus('n'), testContract, silentLogger);
  assert.throws(() => hear('unknown' as 'changed', () => undefined), /has no event unknown/);
});

for (const node of ['', '.', '*', '>', 'a.b', 'a b', 'a\r\nPUB', 'ä', 'x'.repeat(65)]) {
  test(`${JSON.stringify(node)} is no part of a subject`, () => {
    const address = { service: 'router', version: 1, operation: 'open' };
    assert.throws(() => operationSubject(address, node), { code: 'malformed' });
    assert.throws(() => operationSubject({ ...address, service: node }), { code: 'malformed' });
  });
}

/** An actor by its mailbox: what a bus brings in from other processes. */
function mailboxOf(most?: number) {
  const handlers = new Map<string, BusHandler>();
  const bus = {
    serve: ({ operation }: { operation: string }, handler: BusHandler) => {
      handlers.set(operation, handler);
      return () => undefined;
    },
  } as unknown as Bus;
  const { log, lines } = logLines();
  const service = new TestService();
  const actor = serve(bus, { contract: testContract, handlers: service.handlers, ...life }, log, { mailbox: most });
  const send = (operation: string, fields: unknown, caller: string | undefined) =>
    handlers.get(operation)?.({ fields, caller, timeout: 1000 });
  return { service, actor, lines, send };
}

test('a caller that fills the mailbox gets three quarters of it; others go on', async () => {
  const { service, send } = mailboxOf(10);
  const flood = Array.from({ length: 11 }, (_, i) => send('wait', { key: `flood-${i}` }, 'attacker'));
  const refused = await Promise.all(flood.slice(8));
  assert.deepEqual(
    refused.map((reply) => reply?.ok === false && reply.code),
    ['busy', 'busy', 'busy'],
  );
  assert.equal((await send('digest', {}, 'listener'))?.ok, true);
  for (let i = 0; i < 8; i++) await service.release(`flood-${i}`);
  await Promise.all(flood);
  assert.equal((await send('digest', {}, 'attacker'))?.ok, true);
});

test('rubbish is logged at a bounded rate', async () => {
  const { actor, lines, send } = mailboxOf();
  for (let i = 0; i < 1000; i++) assert.equal((await send('digest', 'rubbish', 'attacker'))?.ok, false);
  await send('digest', 'rubbish', 'listener');
  assert.equal(lines().length, 2);
  actor.close();
  assert.equal(lines().length, 3);
  assert.equal((lines()[2] as unknown as { count: number }).count, 999);
});
