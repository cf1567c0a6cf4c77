import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { sealpost } from '#test/kit/command.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { waitFor } from '#test/kit/wait.ts';
import { mail, REFUSED, SENT } from './situations.ts';
import { WhySite } from './why-site.ts';

/** Mail that waits, has left, or was refused on the first two nodes: why, asked on the third. */

test('why, asked on another node', { ...needs('nats-server', 'named'), timeout: 180_000 }, async (t) => {
  await using site = await WhySite.start();
  const why = (what: string) => site.why(what);

  const ids = new Map<string, string>();
  for (const [what, { to, cause: _, sentence: __, ...rest }] of Object.entries(SENT))
    ids.set(what, await site.send(to, rest));
  for (const [what, { cause, sentence }] of Object.entries(SENT)) {
    await t.test(what, async () => assert.match((await site.becomes(ids.get(what) ?? '', cause)).sentence, sentence));
  }

  for (const [what, { client, say, ask, cause = 'refused', sentence }] of Object.entries(REFUSED)) {
    await t.test(`refused at the door: ${what}`, async () => {
      const last = await site.say(client, ...say);
      const told = await why(ask);
      assert.equal(told.cause, cause, `${last}: ${told.sentence}`);
      assert.match(told.sentence, sentence);
    });
  }

  await t.test('refused at the door: too much of a sender', async () => {
    await site.say('127.0.0.8', ...mail('a@often.far.test'));
    await site.say('127.0.0.8', ...mail('a@often.far.test'));
    assert.match(
      (await site.becomes('a@often.far.test', 'refused-for-now')).sentence,
      /at MAIL, .* with "450 4\.7\.1 /,
    );
  });

  await t.test('refused at the door: too many connections, TLS at once, a client that leaves', async () => {
    const open = await Promise.all(
      [1, 2, 3].map(() => Dialog.connect(site.node(1).port, { localAddress: '127.0.0.6' })),
    );
    for (const one of open) await one.read().catch(() => undefined);
    assert.match(
      (await site.becomes('127.0.0.6', 'refused-for-now')).sentence,
      /the connection of the client 127\.0\.0\.6 for now before its greeting, .* with "421 4\.7\.0 Too many connections/,
    );
    for (const one of open) await one[Symbol.asyncDispose]();

    await using tls = await Dialog.connect(site.node(1).port, { localAddress: '127.0.0.7' });
    tls.send(Buffer.from('160301002a01000026', 'hex'));
    assert.match(
      (await site.becomes('127.0.0.7', 'refused-for-now')).sentence,
      /with "421 4\.7\.0 This port begins in clear text/,
    );

    const leaver = await Dialog.connect(site.node(1).port, { localAddress: '127.0.0.8' });
    await leaver.expect(220);
    for (const line of mail('leaver@far.test')) await leaver.command(line);
    await leaver.say('DATA', 354);
    await leaver[Symbol.asyncDispose]();
    assert.match(
      (await site.becomes('leaver@far.test', 'client-left')).sentence,
      /left edge-1 in the middle of the mail from <leaver@far\.test>/,
    );
  });

  await t.test('refused at the door: submission', async () => {
    await using client = await Dialog.connect(site.submission, { localAddress: '127.0.0.9' });
    await client.expect(220);
    await client.say('EHLO client.test', 250);
    await client.say('MAIL FROM:<bob@example.com>', 530);
    assert.match(
      (await why('127.0.0.9')).sentence,
      /the mail from <bob@example\.com> .* at MAIL, .* with "530 5\.7\.0 Must issue a STARTTLS/,
    );
    await client.say('STARTTLS', 220);
    await client.startTls();
    await client.say('EHLO client.test', 250);
    await client.say('MAIL FROM:<bob@example.com>', 530);
    assert.match((await why('127.0.0.9')).sentence, /with "530 5\.7\.0 Authentication required"/);
    await client.say(`AUTH PLAIN ${Buffer.from('\0alice\0wrong').toString('base64')}`, 535);
    const failed = await why('127.0.0.9');
    assert.match(
      failed.sentence,
      /refused the log-in as alice of the client 127\.0\.0\.9 .* at AUTH, .* with "535 5\.7\.8 /,
    );
    await client.say(`AUTH PLAIN ${Buffer.from('\0alice\0right').toString('base64')}`, 235);
    await client.say('MAIL FROM:<eve@far.test>', 553);
    assert.match(
      (await why('eve@far.test')).sentence,
      /the mail from <eve@far\.test> \(user alice\) of .* with "553 5\.7\.1 /,
    );
  });

  await t.test('limits, operators, and the end of a life in the queue', async () => {
    const limited = await waitFor(
      async () => {
        const id = await site.send('x@limit.test');
        return (await why(id)).cause === 'rate-limit' ? id : undefined;
      },
      { what: 'a message that waits for its turn' },
    );
    const waiting = await why(limited);
    assert.match(waiting.sentence, /: its turn has not come under rates\.destinations: .*limit\.test/);

    const about = { kind: 'suspend', about: 'domain', name: 'refused.test' } as const;
    await site
      .node(2)
      .client('router')
      ['directive-set']({ ...about, by: 'root on edge-2', reason: 'moving', forMs: 60_000 });
    const suspended = await site.becomes(ids.get('connection refused') ?? '', 'suspended');
    assert.match(suspended.sentence, /: the mail to refused\.test is suspended by root on edge-2 until .*: moving\.$/);
    assert.ok((suspended.until ?? 0) > Date.now());
    await site
      .node(2)
      .client('router')
      ['directive-end']({ ...about, by: 'root on edge-2' });
    await site.becomes(ids.get('connection refused') ?? '', 'unreachable');

    const id = ids.get('connection refused') ?? '';
    const router = site.named((await why(id)).node).client('router');
    await router['message-hold']({ queueId: id });
    assert.match((await site.becomes(id, 'held-by-operator')).sentence, /: an operator holds it since [^;]*\.$/);
    await router['message-release']({ queueId: id });
    await site.becomes(id, 'unreachable');
    await router['message-remove']({ queueId: id, notify: true });
    const removed = await site.becomes(id, 'removed');
    assert.match(
      removed.sentence,
      /taken out of the queue of edge-[123] by an operator at .*; a notice went to <a@example\.com>/,
    );

    const old = ids.get('deferred after 4xx') ?? '';
    const owner = site.named((await why(old)).node);
    const file = await readFile(owner.configFile, 'utf8');
    await writeFile(
      owner.configFile,
      file.replace('copies: 2,', 'copies: 2, expire: 1s, retry: { first: 1s, max: 1s },'),
    );
    owner.programs.get('all')?.signal('SIGHUP');
    const expired = async () => {
      await owner
        .client('router')
        ['message-retry']({ queueId: old })
        .catch(() => undefined);
      const told = await why(old);
      return told.cause === 'expired' ? told : undefined;
    };
    const told = await waitFor(expired, { what: 'the mail to expire' });
    assert.match(
      told.sentence,
      /was given up by edge-[123] at .*, since its time in the queue was over; the last word was "451 4\.7\.1 Greylisted/,
    );
  });

  await t.test('a node that dies: its receipts, its mail, and who takes that over', async () => {
    const done = await site.sendOn(2, 'x@good.test', 'of-two');
    const waits = await site.sendOn(2, 'later@good.test');
    await site.becomes(done, 'delivered');
    await site.becomes(waits, 'deferred-by-host');
    await site.node(2).programs.get('all')?.kill();
    const silent = await site.becomes(waits, 'owner-silent');
    assert.match(
      silent.sentence,
      /^The mail is in the queue of edge-2, which does not answer; (edge-[13]) has its second copy, and \1 takes it over in \d+s, at .*, if it does not return\.$/,
    );
    assert.ok((silent.until ?? 0) > Date.now());
    assert.match(
      (await site.becomes(done, 'delivered')).sentence,
      /delivered by edge-2 .*; this is from the node that had its second copy\.$/,
    );
    const unknown = await why('0123456789ABCDEF');
    assert.match(
      unknown.sentence,
      /refusals of edge-1 and edge-3 have it; edge-2 did not answer, and may know of it; receipts are kept for 7d, refusals are known since /,
    );
    const taken = await site.becomes(waits, 'deferred-by-host');
    assert.equal(taken.takenOverFrom, 'edge-2');
    assert.match(taken.sentence, /waits in the queue of edge-[13], which took it over from edge-2 at .*: 127\.0\.0\.1/);
  });

  await t.test('the command: sentence, facts, JSON and exit codes', async () => {
    const { folder, configFile } = site.node(3);
    const run = (...args: string[]) => sealpost(['why', ...args, '--config', configFile], { cwd: folder });
    const [text, json, several, none] = await Promise.all([
      run(ids.get('bounced') ?? ''),
      run('nobody@example.com', '--json'),
      run('a@example.com', '--limit', '2'),
      run('nothing@none.test'),
    ]);
    assert.equal(text?.code, 0, text?.stderr);
    assert.match(
      text?.stdout ?? '',
      /^The mail for <bounce@good\.test> was refused for good .*\n\nid +\w{16}\n[\s\S]*\nNOTICE +KIND +TO +ID\n.* failed +<a@example\.com>/,
    );
    const told = JSON.parse(json?.stdout ?? '') as {
      cause: string;
      step: string;
      found: { facts: { kind: string } }[];
    };
    assert.deepEqual([told.cause, told.step, told.found[0]?.facts.kind], ['refused', 'RCPT', 'refused']);
    assert.match(
      several?.stdout ?? '',
      /^2 mails of a@example\.com, newest first:\n\n\w{16}, [\s\S]*… and more: --limit 20/,
    );
    // edge-2 is dead: it may know of the mail.
    assert.equal(none?.code, 3);
    assert.match(none?.stdout ?? '', /^Nothing is known of nothing@none\.test: /);
    assert.match(none?.stderr ?? '', /edge-2 was not asked to the end: /);
  });
});
