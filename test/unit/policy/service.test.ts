import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { client, serve } from '#cluster/actor.ts';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { Settings } from '#cluster/config/settings.ts';
import { hashPassword } from '#cluster/config/users/password.ts';
import { authenticate } from '#services/policy/authenticate.ts';
import { Failures } from '#services/policy/authentication/failures.ts';
import { FairQueue } from '#services/policy/authentication/fair-queue.ts';
import { policyContract } from '#services/policy/contract.ts';
import { SharedCounts } from '#services/policy/rates/shared-counts.ts';
import { createPolicyService } from '#services/policy/service.ts';
import { LimitedLog } from '#shared/limited-log.ts';
import { silentLogger } from '#shared/log.ts';
import { config, directory, facts, SECRET, USERS } from './fixtures.ts';

/** The service behind its contract, over the bus: what it answers must fit what it promises. */
async function setup(t: TestContext, users: string | null = USERS) {
  const folder = await mkdtemp(join(tmpdir(), 'sealpost-policy-'));
  const file = join(folder, 'users.yaml');
  if (users !== null) await writeFile(file, users);
  const input = (more: Record<string, unknown> = {}) =>
    config({
      node: { data: folder },
      domains: [{ name: 'example.com', local: true }],
      // Nothing answers there: reverse DNS must not hold up anything in these tests.
      dns: { servers: ['127.0.0.1:1'], timeout: '100ms' },
      ...(users === null ? {} : { directory: { users: file } }),
      ...more,
    });
  const settings = new Settings(input());
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const bus = new LocalBus('edge-1');
  const service = createPolicyService({ settings, log });
  await service.start();
  serve(bus, service, log);
  t.after(async () => {
    await bus.drain();
    await service.stop();
    await rm(folder, { recursive: true });
  });
  return { policy: client(bus, policyContract), settings, input, lines, file };
}

const session = facts({ listener: 'submission', kind: 'submission', tls: { protocol: 'TLSv1.3', cipher: 'C' } });
const login = (user: string, mechanism: 'PLAIN' | 'LOGIN' = 'PLAIN') => ({ facts: session, mechanism, user });
const bytes = (text: string) => ({ bytes: Buffer.from(text) });

test('A3 a right password, whatever the case of the name, and its log line: user, host, address', async (t) => {
  const { policy, lines } = await setup(t);
  const verdict = await policy['user-authenticate'](login('aLICE', 'LOGIN'), bytes('secret'));
  assert.deepEqual(verdict, { action: 'accept', user: 'Alice', why: ['user Alice: password is right'] });
  const line = lines.find((l) => l['msg'] === 'Authentication succeeded');
  assert.ok(line);
  const { session: id, listener, user, peer, host, mechanism, tls } = line;
  assert.deepEqual(
    { id, listener, user, peer, host, mechanism, tls },
    {
      id: 'S1',
      listener: 'submission',
      user: 'aLICE',
      peer: '192.0.2.7',
      host: 'mail.example.org',
      mechanism: 'LOGIN',
      tls: 'TLSv1.3',
    },
  );
});

test('A3 a wrong password and an unknown user get the same reply; the log tells them apart and holds no password', async (t) => {
  const { policy, lines } = await setup(t);
  const replies: unknown[] = [];
  for (const [user, password] of [
    ['alice', 'hunter2'],
    ['mallory', 'hunter2'],
    ['alice', ''],
    ['', 'secret'],
    ['nobody\r\n', 'secret'],
  ] as const) {
    const verdict = await policy['user-authenticate'](login(user), bytes(password));
    assert.ok(verdict.action === 'reject');
    replies.push(verdict.reply);
  }
  assert.deepEqual(new Set(replies.map((r) => JSON.stringify(r))).size, 1);
  assert.deepEqual(replies[0], { code: 535, enhanced: '5.7.8', text: 'Authentication credentials invalid' });
  const failed = lines.filter((l) => l['msg'] === 'Authentication failed');
  assert.deepEqual(
    failed.map((l) => l['reason']),
    ['wrong password', 'unknown user', 'wrong password', 'unknown user', 'unknown user'],
  );
  assert.doesNotMatch(JSON.stringify(lines), /hunter2|argon2/);
});

test('an unknown user costs as much time as a wrong password', async (t) => {
  const hash = await hashPassword('secret');
  const { policy } = await setup(t, `users:\n  - { name: alice, password: "${hash}" }\n`);
  const median = async (user: string) => {
    const times: number[] = [];
    for (let i = 0; i < 7; i++) {
      // Of the processor, in all threads: a busy machine does not change it.
      const began = process.cpuUsage();
      await policy['user-authenticate'](login(user), bytes('wrong'));
      times.push(process.cpuUsage(began).user / 1000);
    }
    return times.toSorted((a, b) => a - b)[3] ?? 0;
  };
  const [known, unknown] = [await median('alice'), await median('mallory')];
  assert.ok(unknown > known / 3 && unknown < known * 3, `${known} ms known, ${unknown} ms unknown`);
});

test('more log-ins than can wait get a temporary refusal', async (t) => {
  const { policy, lines } = await setup(t);
  const verdicts = await Promise.all(
    Array.from({ length: 150 }, () => policy['user-authenticate'](login('alice'), bytes('secret'))),
  );
  const accepted = verdicts.filter((v) => v.action === 'accept').length;
  const deferred = verdicts.flatMap((v) => (v.action === 'accept' ? [] : [v.reply]));
  assert.equal(accepted, 102);
  assert.deepEqual(deferred[0], { code: 454, enhanced: '4.7.0', text: 'Temporary authentication failure' });
  assert.equal(lines.filter((l) => String(l['msg']).includes('too many concurrent authentications')).length, 48);
});

test('after too many failures no password is looked at, right or wrong, known user or not, and the log is bounded', async (t) => {
  const { policy, lines } = await setup(t);
  for (const user of ['alice', 'mallory']) {
    for (let i = 0; i < 10; i++) await policy['user-authenticate'](login(user), bytes('wrong'));
    const took: number[] = [];
    for (const password of ['wrong', 'secret', 'wrong', 'secret']) {
      const began = process.cpuUsage();
      const verdict = await policy['user-authenticate'](login(user), bytes(password));
      assert.ok(verdict.action === 'defer');
      assert.deepEqual(verdict.reply, {
        code: 454,
        enhanced: '4.7.0',
        text: 'Too many failed authentications, please try again later',
      });
      assert.equal(verdict.delayMs, 5000);
      took.push(process.cpuUsage(began).user / 1000);
    }
    // Of the processor, which a busy machine does not change.
    assert.ok(Math.min(...took) < 10, `a hash was computed: ${took.join(', ')} ms`);
  }
  const refused = lines.filter((l) => l['msg'] === 'Authentication refused without a look at the password');
  assert.equal(refused.length, 1);
  assert.equal(refused[0]?.['error'], 'too many failures of user alice from 192.0.2.0/24');
});

test('somebody who is locked out cannot keep a directory busy', async (t) => {
  const settings = new Settings(config());
  const failures = new Failures({ settings, counts: new SharedCounts({ settings, peers: undefined }) });
  const strangers = new LimitedLog();
  t.after(() => strangers.close());
  let asked = 0;
  const ask = () => {
    asked++;
    return directory();
  };
  const deps = { ask, failures, queue: new FairQueue(1, 10), log: silentLogger, strangers };
  for (let i = 0; i < 10; i++) await authenticate(login('alice'), Buffer.from('guess'), deps);
  assert.equal(asked, 10);
  const verdict = await authenticate(login('alice'), Buffer.from('guess'), deps);
  assert.deepEqual([verdict.action, asked], ['defer', 10]);
});

test('guesses in parallel are not more than guesses one after the other', async (t) => {
  const { policy, lines } = await setup(t);
  await Promise.all(Array.from({ length: 60 }, () => policy['user-authenticate'](login('alice'), bytes('wrong'))));
  const looked = lines.filter((l) => l['msg'] === 'Authentication failed').length;
  assert.ok(looked >= 10 && looked <= 11, `${looked} passwords were looked at`);
});

test('without a users file nobody can log in and every local recipient is taken', async (t) => {
  const { policy } = await setup(t, null);
  const verdict = await policy['user-authenticate'](login('alice'), bytes('secret'));
  assert.ok(verdict.action === 'reject' && verdict.why[0]?.includes('there are no users'));
  const rcpt = await policy['recipient-check']({
    facts: facts(),
    reversePath: '',
    recipient: { address: 'any@example.com' },
  });
  assert.equal(rcpt.action, 'accept');
});

test('a users file that cannot be read stops the start', async () => {
  const settings = new Settings(config({ directory: { users: '/nonexistent/users.yaml' } }));
  const service = createPolicyService({ settings, log: pino({ level: 'silent' }) });
  await assert.rejects(service.start(), { code: 'unreadable', message: /\/nonexistent\/users\.yaml cannot be read/ });
  await service.stop();
});

test('a changed configuration is in force immediately; a bad users file defers log-ins', async (t) => {
  const { policy, settings, input, file } = await setup(t);
  const ask = () =>
    policy['recipient-check']({ facts: facts(), reversePath: '', recipient: { address: 'x@partner.test' } });
  assert.equal((await ask()).action, 'reject');
  settings.replace(input({ relay: { allow: { domains: ['partner.test'] } } }));
  assert.equal((await ask()).action, 'accept');

  settings.replace(input({ directory: { users: `${file}.gone` } }));
  const verdict = async () => (await policy['user-authenticate'](login('alice'), bytes('secret'))).action;
  for (const end = Date.now() + 5000; (await verdict()) !== 'defer'; await sleep(5)) assert.ok(Date.now() < end);
  const local = await policy['recipient-check']({
    facts: facts(),
    reversePath: '',
    recipient: { address: 'alice@example.com' },
  });
  assert.equal(local.action, 'defer');
  await writeFile(`${file}.gone`, `users:\n  - { name: alice, password: "${SECRET}" }\n`);
  for (const end = Date.now() + 5000; (await verdict()) !== 'accept'; await sleep(5)) assert.ok(Date.now() < end);
});

test('connect: loopback has a name without DNS, a silent DNS costs a moment and no more', async (t) => {
  const { policy, settings, input } = await setup(t);
  const from = (address: string) => policy['client-check']({ session: 'S', listener: 'mx', kind: 'relay', address });
  assert.deepEqual(await from('::ffff:127.0.0.1'), {
    action: 'accept',
    name: 'localhost',
    nameFailed: false,
    scope: 'external',
    why: ['::ffff:127.0.0.1 is localhost', 'neither an internal nor a trusted host: external'],
  });
  const unknown = await from('192.0.2.7');
  assert.ok(unknown.action === 'accept' && unknown.name === null && unknown.scope === 'external');
  assert.equal(unknown.nameFailed, true);
  assert.match(unknown.why[0] ?? '', /DNS did not say/);
  settings.replace(input({ relay: { allow: { hosts: ['192.0.2.0/24', 'localhost'] } } }));
  for (const address of ['192.0.2.7', '::1']) {
    const verdict = await from(address);
    assert.ok(verdict.action === 'accept' && verdict.scope === 'internal', address);
  }
});

test('a message whose bytes are a view of a larger buffer is read at its place', async (t) => {
  const { policy } = await setup(t);
  const whole = Buffer.from('From: x@x.test\r\nFrom: alice@example.com\r\n\r\n');
  const request = { queueId: 'Q', reversePath: '', recipients: ['x@far.test'], smtpUtf8: false, size: 10 };
  const alice = facts({ kind: 'submission', user: 'Alice' });
  const verdict = await policy['message-check']({ facts: alice, ...request }, { bytes: whole.subarray(16) });
  assert.ok(verdict.action === 'accept' && verdict.originating && verdict.prepend.length === 3);
});

test('messages and recipients of a rewritten sender count for the same sender', async (t) => {
  const { policy, settings, input } = await setup(t);
  settings.replace(
    input({
      relay: { allow: { hosts: ['10.0.0.0/8'] } },
      rewrite: { canonical: [{ map: { 'root@host1.test': 'admin@example.com' }, of: ['envelope-sender'] }] },
      rates: { senders: [{ from: 'admin@example.com', messages: '1/h', recipients: '1/h' }] },
    }),
  );
  const host = facts({ client: { address: '10.1.2.3', name: null, helo: 'host1' }, scope: 'internal' });
  const ask = () => policy['sender-check']({ facts: host, reversePath: 'root@host1.test' });
  const first = await ask();
  assert.ok(first.action === 'accept' && first.reversePath === 'admin@example.com');
  assert.equal((await ask()).action, 'defer');
  const said = { facts: host, reversePath: first.reversePath, recipient: { address: 'x@far.test' } };
  assert.equal((await policy['recipient-check'](said)).action, 'accept');
  assert.equal((await policy['recipient-check'](said)).action, 'defer');
});
