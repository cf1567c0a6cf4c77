import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serve } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { parseConfig } from '#cluster/config/load.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { Gateways } from '#services/listener/gateways.ts';
import { createPolicyService } from '#services/policy/service.ts';
import { type Calls, calls } from '#services/topology.ts';
import { Type } from '#shared/dns/message.ts';
import { silentLogger } from '#shared/log.ts';
import { address, answerTo, FakeDns, pointer, type Query } from '#test/kit/dns/fake-dns.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { startListener } from '#test/unit/listener/harness.ts';
import { config, USERS } from '#test/unit/policy/fixtures.ts';
import { CLIENTS, GROUPS, SCENARIOS, sessionOf } from './relay-table.ts';

/** What `sealpost explain` says is what the table says: a listener and policy, and DNS that has the names of the clients. */

const SERVFAIL = 2;
const NXDOMAIN = 3;
const pointerName = (ip: string): string => `${ip.split('.').toReversed().join('.')}.in-addr.arpa`;

function dnsAnswer(query: Query): Buffer {
  const { name = '', type } = query.questions[0] ?? {};
  const asked = Object.values(CLIENTS).find((one) => pointerName(one.address) === name || one.name === name);
  if (asked === undefined || asked.name === null) return answerTo(query, { rcode: NXDOMAIN });
  if (asked.name === undefined) return answerTo(query, { rcode: SERVFAIL });
  if (type === Type.A) return answerTo(query, { answers: [address(asked.name, asked.address)] });
  return answerTo(query, { answers: [pointer(type ?? 0, name, asked.name)] });
}

const resources = new AsyncDisposableStack();
let policy: Calls<'listener', 'policy'>;
let server: Awaited<ReturnType<typeof startListener>>;

before(async () => {
  const folder = resources.use(await tempDir('explain'));
  const dns = resources.use(await FakeDns.start(dnsAnswer));
  const users = join(folder.path, 'users.yaml');
  await writeFile(users, USERS);
  const bus = new LocalBus('edge-1');
  resources.defer(() => bus.drain());
  policy = calls(bus, 'listener', 'policy');
  server = resources.use(
    await startListener({
      listener: { auth: 'always' },
      config: {
        node: { hostname: 'mx.test', data: folder.path },
        directory: { users },
        dns: { servers: [dns.server] },
        domains: [{ name: 'example.com', local: true }],
        rates: { senders: [{ from: 'limited@far.test', messages: '1/h' }] },
      },
      policy,
      gateways: new Gateways(() => ({ container: ['10.0.0.1'] })),
    }),
  );
  const service = createPolicyService({ settings: server.settings, log: silentLogger });
  await service.start();
  resources.defer(() => service.stop());
  serve(bus, service, silentLogger);
});

after(() => resources.disposeAsync());

const context = { bytes: new Uint8Array(), trace: undefined };
const explain = async (question: { client: string; to: string; user?: string; from?: string; listener?: string }) =>
  server.service.handlers['session-explain']({ ...question }, context);

async function relayOf(relay: object): Promise<Config['relay']> {
  const loaded = await parseConfig(JSON.stringify({ listeners: [], groups: GROUPS, relay }), '/', { files: false });
  assert.ok(loaded.ok);
  return loaded.config.relay;
}

for (const { title, relay, cells } of SCENARIOS) {
  test(`explain says the same: ${title}`, async () => {
    server.settings.replace({ ...server.settings.current, relay: await relayOf(relay) });
    for (const { client: name, to, expected } of cells) {
      const { address = '', user } = CLIENTS[name] ?? {};
      const { steps } = await explain({ client: address, to, ...(user !== undefined && { user }) });
      const last = steps.at(-1);
      const [, code, enhanced] = /^(\d{3}) (\S+)/.exec(last?.reply.at(-1) ?? '') ?? [];
      const about = `${name} to ${to}: ${JSON.stringify(steps)}`;
      assert.equal(last?.command, `RCPT TO:<${to}>`, about);
      assert.equal(expected.includes('/') ? `${code}/${enhanced}` : code, expected, about);
      assert.equal(
        steps.map(({ command }) => command.split(' ')[0]).join(' '),
        user === undefined ? ' EHLO MAIL RCPT' : ' EHLO AUTH MAIL RCPT',
      );
      assert.ok(
        steps.every(({ command, why }) => why.length > 0 || command.startsWith('EHLO')),
        about,
      );
    }
  });
}

test('the replies are those of the listener too: syntax, source routes, AUTH that is not there', async () => {
  const codes = async (question: Parameters<typeof explain>[0]) =>
    (await explain(question)).steps.map(({ code }) => code);
  const client = '192.0.2.7';
  assert.deepEqual(await codes({ client, to: '@example.com:x@far.test' }), [220, 250, 250, 553]);
  assert.deepEqual(await codes({ client, to: 'x@far.test@example.com' }), [220, 250, 250, 501]);
  assert.deepEqual(await codes({ client, from: 'not an address', to: 'alice@example.com' }), [220, 250, 501]);
  assert.deepEqual(await codes({ client, to: 'jürgen@example.com' }), [220, 250, 250, 550]);
  assert.deepEqual(await codes({ client, user: 'mallory', to: 'x@far.test' }), [220, 250, 535]);
  assert.deepEqual(
    await codes({ client, user: 'alice', from: 'bob@example.com', to: 'x@far.test' }),
    [220, 250, 235, 553],
  );
  const [listener] = server.settings.current.listeners;
  assert.ok(listener);
  const off = { ...listener, auth: 'off' as const };
  server.settings.replace({ ...server.settings.current, listeners: [off] });
  // A change of a listener is taken up in the next turns.
  await server.status();
  assert.deepEqual(await codes({ client, user: 'alice', to: 'x@far.test' }), [220, 250, 502]);
  server.settings.replace({ ...server.settings.current, listeners: [listener] });
  await assert.rejects(explain({ client, to: 'x@far.test', listener: 'none' }), /no open listener "none"; open: mx/);
});

test('explaining counts nothing, and sees what was counted', async () => {
  const question = { client: '192.0.2.7', from: 'limited@far.test', to: 'alice@example.com' };
  for (let i = 0; i < 3; i++) assert.equal((await explain(question)).steps.at(-1)?.code, 250);
  using client = await server.connect();
  await client.reply();
  await client.sayAll('EHLO client.test', 'MAIL FROM:<limited@far.test>');
  const { steps } = await explain(question);
  assert.equal(steps.at(-1)?.command, 'MAIL FROM:<limited@far.test>');
  assert.match(steps.at(-1)?.reply[0] ?? '', /^450 4\.7\.1 Rate limit of 1\/h messages/);
  assert.equal(server.log.filter(({ msg }) => msg === 'session ended').length, 0, 'a rehearsal is not in the log');
});

test('explaining is no attempt: the greylist and the counts of failed log-ins are looked at', async () => {
  const settings = server.settings.current;
  server.settings.replace({ ...settings, checks: config({ checks: { greylist: { enabled: true } } }).checks });
  const question = { client: '127.0.0.1', to: 'alice@example.com' };
  const last = async (more: object = {}) => (await explain({ ...question, ...more })).steps.at(-1);
  for (let i = 0; i < 3; i++) assert.match((await last())?.why.at(-1) ?? '', /^first attempt/);
  using client = await server.connect();
  await client.reply();
  await client.sayAll('EHLO client.test', 'MAIL FROM:<>', 'RCPT TO:<alice@example.com>');
  assert.match((await last())?.why.at(-1) ?? '', /came again too early/);
  server.settings.replace(settings);

  for (let i = 0; i < 20; i++) assert.equal((await last({ user: 'alice', to: 'x@far.test' }))?.code, 250);
  const facts = sessionOf({ address: '127.0.0.1', name: null });
  const login = { facts, mechanism: 'PLAIN', user: 'alice' } as const;
  for (let i = 0; i < 10; i++) await policy['user-authenticate'](login, { bytes: Buffer.from('wrong') });
  assert.match((await last({ user: 'alice' }))?.reply[0] ?? '', /^454 4\.7\.0/);
});

test('the limits of connections are those of the moment', async () => {
  const settings = server.settings.current;
  const { limits } = settings;
  const question = { client: '127.0.0.1', to: 'alice@example.com' };
  server.settings.replace({ ...settings, limits: { ...limits, 'sessions-per-client': 1 } });
  await waitFor(async () => (await explain(question)).steps.at(-1)?.code === 250, { what: 'earlier sessions to end' });
  using client = await server.connect();
  await client.reply();
  const { steps } = await explain(question);
  assert.deepEqual(
    steps.map(({ reply }) => reply),
    [['421 4.7.0 Too many sessions from your address, please try again later']],
  );
  assert.equal((await explain({ ...question, client: '192.0.2.7' })).steps.at(-1)?.code, 250);
  server.settings.replace(settings);
});

test('where policy does not answer, explain fails, and gives no reply for an answer of policy', async () => {
  await using alone = await startListener({
    policy: { 'verdict-explain': () => Promise.reject(new Error('policy is away')) },
  });
  const asked = alone.service.handlers['session-explain']({ client: '192.0.2.7', to: 'a@b.test' }, context);
  await assert.rejects(Promise.resolve(asked), /policy is away/);
});
