import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, createInbox } from 'nats';
import { client } from '#cluster/actor.ts';
import { decodeReply, encodeEvent, encodeRequest } from '#cluster/bus/frame.ts';
import { NatsBus } from '#cluster/bus/nats-bus.ts';
import { eventSubject, inboxPrefix, operationSubject, replyPrefix } from '#cluster/bus/subjects.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { startNode } from '#services/node.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import { CONTRACTS } from '#services/topology.ts';
import type { Contract } from '#shared/contract.ts';
import type { SealpostError } from '#shared/errors.ts';
import { type GuardedServer, startGuardedServer } from '#test/kit/bus/bus-users.ts';
import { sealpost } from '#test/kit/command.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Load } from '#test/kit/smtp/load.ts';
import { Tally } from '#test/kit/smtp/tally.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

/** Processes on a bus where each has its own user, with the permissions that come from the contracts. */

const SERVICES = ['credential-store', 'signer', 'policy', 'router', 'listener'];
const DOMAIN = 'example.com';
const nats = needs('nats-server');

test('a process for each service, each with its own user: mail, keys, a rotation and commands', {
  ...nats,
  timeout: 180_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using sink = await Tally.start();
  await using node = await SealpostNode.create({
    bus: guarded,
    sink: sink.port,
    config: `domains: [{ name: ${DOMAIN}, signing: { mode: enforce }, keys: { proof: none } }]`,
  });
  await Promise.all(SERVICES.map((service) => node.start(service)));
  await node.createKey(DOMAIN, 's1', 'ed25519');
  await using load = new Load('users', { port: node.port, sessions: 2, sizes: [500, 100_000], rate: 50 });
  load.start();
  await waitFor(() => load.accepted.size > 20, { timeout: 60_000, what: 'mail to be accepted' });
  await node.sealpost('keys', 'rotate', DOMAIN, '--watch');
  await load.stop();
  await waitFor(() => [...load.accepted].every((id) => sink.arrivals.has(id)), { timeout: 60_000, what: 'all of it' });
  // Two while the new key and the old one change places.
  assert.deepEqual(
    [...sink.signatures.keys()].filter((n) => n !== 1 && n !== 2),
    [],
  );

  assert.match(await node.sealpost('status'), /listener +answers/);
  assert.match(await node.sealpost('cluster', 'status'), /5 processes: all agree/);
  assert.match(await node.sealpost('explain', '--client', '127.0.0.1', '--to', 'x@far.test'), /^accepted/m);
  assert.match(await node.sealpost('explain', '--client', '192.0.2.7', '--to', 'x@far.test'), /^refused: 554/m);
  await node.drained();
  await node.sealpost('keys', 'list');
  await node.sealpost('keys', 'verify');
  await node.sealpost('keys', 'export', DOMAIN, 's1', '--out', join(node.folder, 's1.pem'));
  for (const [name, program] of node.programs) assert.doesNotMatch(program.output, /NATS permits/, name);
  assert.doesNotMatch(guarded.server.output, /Violation/);
});

test('captured mail is shown in the container of a router too, which may ask for no keys', {
  ...nats,
  timeout: 120_000,
}, async () => {
  await using guarded = await startGuardedServer();
  await using node = await SealpostNode.create({ bus: guarded, config: 'routes: [{ to: "*", via: capture }]' });
  await node.start();
  await node.createKey(DOMAIN, 's1', 'ed25519');
  await using load = new Load('capture', { port: node.port, sessions: 1, sizes: [500] });
  load.start();
  await waitFor(() => load.accepted.size > 0, { what: 'a message' });
  await load.stop();
  await node.drained();
  assert.match(await node.sealpost('capture', 'show'), /DKIM pass: .* s=s1, key from this node/);
  const { user, password } = guarded.login('router');
  const env = { BUS_USER: user, BUS_PASSWORD: password.reveal() };
  const shown = await sealpost(['capture', 'show', '--config', node.configFile], { cwd: node.folder, env });
  assert.match(
    shown.stdout,
    /DKIM .* s=s1, key from DNS, as credential-store\.key-show .* NATS does not permit it/,
    shown.stderr,
  );
});

/** A whole node in this process, with its log. */
async function wholeNode({ server, login }: GuardedServer) {
  await using undo = new AsyncDisposableStack();
  const { path } = undo.use(await tempDir('node'));
  const { log, lines } = logLines();
  const { user, password } = login('node');
  const config = ConfigSchema.parse({
    node: { name: 'edge-1', data: join(path, 'data') },
    bus: { servers: [server.url], user, password: password.reveal() },
    listeners: [{ name: 'mx', kind: 'relay', address: '127.0.0.1', port: 0, tls: 'none' }],
    console: { port: 0 },
    log: { level: 'warn' },
  });
  const node = undo.use(await startNode({ config, log }));
  const resources = undo.move();
  return { bus: node.bus, lines, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

test('a listener gets no key, whatever it tries; what it may ask for it gets', nats, async () => {
  await using guarded = await startGuardedServer();
  await using node = await wholeNode(guarded);
  const { log, lines } = logLines();
  const options = { servers: [guarded.server.url], node: 'edge-2', log, ...guarded.login('listener') };
  await using stack = new AsyncDisposableStack();
  const listener = stack.adopt(await NatsBus.connect(options), (bus) => bus.drain());
  const refused = (error: SealpostError) => error.code === 'unavailable' && /does not permit it/.test(error.message);
  const store = client(listener, credentialStoreContract);
  await assert.rejects(store['signing-key-list']({}), refused);
  await assert.rejects(store['signing-key-list']({}, { node: 'edge-1' }), refused);
  await assert.rejects(store['key-export']({ domain: DOMAIN, selector: 's1' }), refused);
  await assert.rejects(client(listener, signerContract)['status-show']({}), refused);
  await assert.rejects(client(listener, routerContract)['message-list']({}), refused);
  assert.deepEqual(await client(listener, routerContract)['transfer-abort']({ transfer: 'none' }), {});
  const told = lines().filter((line) => /NATS permits user listener no publish on sealpost/.test(line.msg));
  assert.ok(told.some((line) => line['subject'] === 'sealpost.v1.credential-store.signing-key-list.edge-1'));
  await waitFor(
    () => /Publish Violation - .*listener.*credential-store\.signing-key-list/.test(guarded.server.output),
    {
      what: 'the log of nats-server',
    },
  );
  assert.deepEqual((await client(node.bus, credentialStoreContract)['key-list']({})).keys, []);
});

test('a message that fits no contract is refused on every subject, logged, and harms nothing', nats, async () => {
  await using guarded = await startGuardedServer();
  await using node = await wholeNode(guarded);
  await using stack = new AsyncDisposableStack();
  // The only user who may send to all of them.
  const { user, password } = guarded.login('node');
  const login = { servers: guarded.server.url, user, pass: password.reveal(), inboxPrefix: inboxPrefix(user) };
  const sender = stack.adopt(await connect(login), (connection) => connection.close());
  const text = 'no object';
  for (const { name, version, operations, events } of Object.values(CONTRACTS) as Contract[]) {
    for (const operation of Object.keys(operations)) {
      const subject = operationSubject({ service: name, version, operation });
      // A process drains its own queue, by no way that leads over the bus.
      if (subject.endsWith('.router.queue-drain')) continue;
      for (const frame of [Buffer.from(text), encodeRequest({ fields: text, timeout: 1000 })]) {
        const before = node.lines().length;
        const inbox = createInbox(replyPrefix(user, name));
        const reply = decodeReply(
          (await sender.request(subject, frame, { timeout: 5000, noMux: true, reply: inbox })).data,
        );
        assert.equal(reply.ok === false && reply.code, 'malformed', subject);
        const said = node.lines().slice(before);
        const told = said.filter((l) => l.msg === 'malformed request refused').map((l) => l['operation']);
        assert.deepEqual(told, [`${name}.${operation}`]);
      }
    }
    for (const event of Object.keys(events)) {
      const before = node.lines().length;
      const subject = eventSubject(name, version, event);
      sender.publish(subject, text);
      sender.publish(subject, encodeEvent(text));
      const told = () =>
        node
          .lines()
          .slice(before)
          .filter((line) => line.msg === 'malformed event dropped');
      await waitFor(() => told().length >= 2, { what: `the log to speak of ${subject}` });
    }
  }
  assert.equal((await client(node.bus, routerContract)['status-show']({})).active, 0);
  assert.equal((await client(node.bus, signerContract)['status-show']({})).upToDate, true);
  assert.equal((await client(node.bus, credentialStoreContract)['status-show']({})).state, 'following');
});
