import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SessionCounts } from '#cluster/serving/session-counts.ts';
import { policyContract } from '#services/policy/contract.ts';
import { waitFor } from '#test/kit/wait.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

const limits = (values: Record<string, unknown>) => ({ config: { limits: values } });

test('SMTPMaxSessions: sessions in all', async () => {
  await using server = await startListener(limits({ sessions: 2 }));
  using first = await server.connect();
  await first.reply();
  using second = await server.connect();
  await second.reply();
  using third = await server.connect();
  assert.equal(await third.rest(), '421 4.3.2 Too many sessions, please try again later\r\n');
  assert.equal(await first.say('QUIT'), '221 2.0.0 Bye');
  await waitFor(
    async () => {
      using again = await server.connect();
      return (await again.reply()).startsWith('220');
    },
    { what: 'room for another session' },
  );
  const asked = server.policy.calls.filter((c) => c.operation === 'client-check').length;
  assert.ok(asked >= 3, 'policy is not bothered with sessions that cannot be');
});

test('sessions of one client; another one gets in', async () => {
  await using server = await startListener(limits({ 'sessions-per-client': 1 }));
  using first = await server.connect();
  assert.match(await first.reply(), /^220/);
  using second = await server.connect();
  assert.equal(await second.rest(), '421 4.7.0 Too many sessions from your address, please try again later\r\n');
  using other = await server.connect('127.0.0.2');
  assert.match(await other.reply(), /^220/);
});

test('a client counts by its IPv4 address or its /64 of IPv6, until its place is released', () => {
  const counts = new SessionCounts();
  const limits = { sessions: 4, 'sessions-per-client': 2 };
  const admitted = (address: string) => {
    const place = counts.admit(limits);
    assert.ok(typeof place !== 'string');
    return { place, refusal: place.claim(address, limits) };
  };
  const first = admitted('2001:db8:0:1::1');
  assert.equal(first.refusal, undefined);
  assert.equal(admitted('2001:db8:0:1:ffff::2').refusal, undefined);
  const third = admitted('2001:db8:0:1::3');
  assert.equal(third.refusal, 'sessions-per-client');
  third.place.release();
  assert.equal(admitted('2001:db8:0:2::1').refusal, undefined, 'the next /64');
  assert.equal(admitted('192.0.2.1').refusal, undefined);
  assert.equal(counts.admit(limits), 'sessions');
  first.place.release();
  first.place.release();
  assert.equal(counts.total, 3);
  assert.equal(admitted('2001:db8:0:1::1').refusal, undefined);
});

test('SMTPErrorLimit: refused commands', async () => {
  await using server = await startListener(limits({ errors: 3 }));
  using client = await Dialogue.greeted(server.port);
  client.write('FOO\r\nNOOP\r\nRCPT TO:<a@b.test>\r\nBAR\r\nMAIL FROM:<a@b.test>\r\n');
  assert.equal(
    await client.rest(),
    '500 5.5.2 Command not recognized\r\n250 2.0.0 OK\r\n503 5.5.1 Send MAIL first\r\n' +
      '500 5.5.2 Command not recognized\r\n421 4.7.0 Too many errors in this session\r\n',
  );
});

test('recipients that do not fit into one bus message wait for another transaction', async () => {
  await using server = await startListener(limits({ recipients: 5000 }));
  using client = await Dialogue.greeted(server.port);
  client.write('MAIL FROM:<a@b.test>\r\n');
  const long = `${'x'.repeat(64)}@${'d'.repeat(60)}.${'e'.repeat(60)}.test`;
  const lines = Array.from({ length: 2500 }, (_, i) => `RCPT TO:<${i}${long.slice(4)}> ORCPT=rfc822;${long}\r\n`);
  client.write(lines.join(''));
  const heard: string[] = [await client.reply()];
  for (const _ of lines) heard.push(await client.reply());
  assert.equal(heard.at(-1), '452 4.5.3 Too many recipients in one message');
  assert.match(await client.say('DATA'), /^354/);
  assert.match(await client.say('Subject: x\r\n\r\nx\r\n.'), /^250/);
  const envelope = JSON.stringify(server.router.messages[0]?.envelope);
  assert.ok(envelope.length > 500_000 && envelope.length < 600_000, `${envelope.length} bytes`);
});

test('SMTPMaxRecipientCount: recipients beyond the limit wait for another transaction, and that costs the others nothing', async () => {
  await using server = await startListener(limits({ recipients: 100, errors: 5 }));
  using client = await Dialogue.greeted(server.port);
  await client.say('MAIL FROM:<a@b.test>');
  let commands = '';
  for (let i = 0; i < 150; i++) commands += `RCPT TO:<u${i}@d.test>\r\n`;
  client.write(commands);
  const heard: string[] = [];
  for (let i = 0; i < 150; i++) heard.push(await client.reply());
  assert.equal(heard.filter((r) => r === '250 2.1.5 Recipient OK').length, 100);
  assert.equal(heard.filter((r) => r === '452 4.5.3 Too many recipients in one message').length, 50);
  await client.say('DATA');
  assert.match(await client.say('.'), /^250/);
  assert.equal(server.router.messages[0]?.envelope.recipients.length, 100);
});

test('aliases that lead to more than the limit: the first is taken, the next waits for another transaction', async () => {
  const recipients = Array.from({ length: 150 }, (_, i) => ({ address: `u${i}@x.test` }));
  await using server = await startListener({
    config: { limits: { recipients: 100 } },
    policy: {
      'recipient-check': async ({ recipient }) => ({
        action: 'accept',
        recipients: recipient.address === 'all@x.test' ? recipients : [recipient],
        why: [],
      }),
    },
  });
  using client = await Dialogue.greeted(server.port);
  const codes = async (...names: string[]) =>
    (await client.sayAll('MAIL FROM:<>', ...names.map((n) => `RCPT TO:<${n}@x.test>`), 'RSET')).map((r) =>
      r.slice(0, 9),
    );
  assert.deepEqual(await codes('all', 'one'), ['250 2.1.0', '250 2.1.5', '452 4.5.3', '250 2.0.0']);
  assert.deepEqual(await codes('one', 'all'), ['250 2.1.0', '250 2.1.5', '452 4.5.3', '250 2.0.0']);
});

test('SMTPMaxCommandLength: a command line too long, whatever its segments, costs one reply', async () => {
  await using server = await startListener(limits({ 'command-length': 512 }));
  using client = await Dialogue.greeted(server.port);
  client.write(`NOOP ${'x'.repeat(505)}\r\n`);
  assert.equal(await client.reply(), '250 2.0.0 OK');
  client.write(`NOOP ${'x'.repeat(506)}\r\n`);
  assert.equal(await client.reply(), '500 5.5.2 Line too long');
  for (let i = 0; i < 20; i++) client.write('y'.repeat(10_000));
  client.write('\r\nNOOP\r\n');
  assert.equal(await client.reply(), '500 5.5.2 Line too long');
  assert.equal(await client.reply(), '250 2.0.0 OK');
});

test('a silent client is sent away, in the middle of a message too', async () => {
  await using server = await startListener(limits({ timeout: '1s' }));
  using idle = await Dialogue.greeted(server.port);
  using writing = await Dialogue.greeted(server.port);
  await writing.sayAll('MAIL FROM:<a@b.test>', 'RCPT TO:<c@d.test>', 'DATA');
  writing.write('Subject: x\r\n');
  const timedOut = '421 4.4.2 Timeout: nothing was received for too long\r\n';
  assert.deepEqual(await Promise.all([idle.rest(), writing.rest()]), [timedOut, timedOut]);
  await waitFor(() => server.router.aborted.length === 1, { what: 'the transfer to be given up' });
});

test('a client that waits for us is not sent away', async () => {
  let decide: (() => void) | undefined;
  const wait = new Promise<void>((resolve) => {
    decide = resolve;
  });
  await using server = await startListener({
    ...limits({ timeout: '1s' }),
    policy: {
      'sender-check': async () => {
        await wait;
        return { action: 'accept', why: [] };
      },
    },
  });
  using waiting = await Dialogue.greeted(server.port);
  waiting.write('MAIL FROM:<a@b.test>\r\n');
  using idle = await Dialogue.greeted(server.port);
  // The idle one marks the time.
  assert.match(await idle.rest(), /^421 4\.4\.2/);
  decide?.();
  assert.equal(await waiting.reply(), '250 2.1.0 Sender OK');
});

test('limits are those of the configuration in force', async () => {
  await using server = await startListener();
  const { settings } = server;
  using client = await Dialogue.greeted(server.port);
  const change = (values: Partial<typeof settings.current.limits>) =>
    settings.replace({ ...settings.current, limits: { ...settings.current.limits, ...values } });
  change({ 'message-size': 100_000 });
  assert.match(await client.say('EHLO client.test'), /SIZE 100000/);
  assert.match(await client.say('MAIL FROM:<a@b.test> SIZE=100001'), /^552 5\.3\.4/);
  change({ 'command-length': 600 });
  assert.equal(await client.say(`NOOP ${'x'.repeat(700)}`), '500 5.5.2 Line too long');
  change({ timeout: 1000 });
  assert.match(await client.rest(), /^421 4\.4\.2/);
});

test('a size of 20 digits (RFC 1870 §6) reaches policy as a number that its contract takes', async () => {
  await using server = await startListener();
  using client = await Dialogue.greeted(server.port);
  assert.match(await client.say(`MAIL FROM:<a@b.test> SIZE=${'9'.repeat(20)}`), /^552 5\.3\.4/);
  const asked = server.policy.calls.findLast((call) => call.operation === 'sender-check');
  assert.ok(policyContract.operations['sender-check'].request.safeParse(asked?.request).success);
});

test('a client that never reads its replies is not read either', async () => {
  await using server = await startListener();
  using client = await Dialogue.greeted(server.port);
  client.socket.pause();
  const block = Buffer.from('NOOP\r\n'.repeat(10_000));
  for (let i = 0; i < 500; i++) client.write(block);
  let left = -1;
  await waitFor(
    () => {
      const still = client.socket.writableLength === left;
      left = client.socket.writableLength;
      return still && left > 0;
    },
    { what: 'the client to stand still' },
  );
  assert.ok(left > 1_000_000, `${left} bytes of commands wait`);
});
