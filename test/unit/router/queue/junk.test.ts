import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Routing } from '#services/router/queue/routing.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { reply } from '#shared/mail/reply.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, messageOf, OK, readAll, settingsFor, TestRouter } from '#test/unit/router/fixture.ts';

/** Mail that is marked as junk, for recipients who get it as such and others who do not. */

const FLAG = 'X-Spam-Flag: YES\r\n';
const RECEIVED = 'Received: from client.example\r\n';

const AUTHENTICITY: Authenticity = {
  spf: { result: 'fail', scope: 'mfrom', domain: 'sender.example' },
  dkim: [],
  arc: { result: 'none', sets: 0 },
  dmarc: { result: 'none', dkimAligned: false, spfAligned: false, disposition: 'none' },
};

test('junk goes apart to those who get it as such, with its field, and says so', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const message = messageOf(3000);
  const recipients = ['bob@peer.example', { address: 'eve@peer.example', neverJunk: true }, 'carl@peer.example'];
  const queueId = await router.send({
    envelope: envelope(recipients),
    message,
    junk: true,
    authenticity: AUTHENTICITY,
  });
  const jobs = [await router.delivery.next(), await router.delivery.next()];
  for (const given of jobs) {
    const { job } = given;
    assert.deepEqual(
      [given.to, job.junk],
      job.junk ? [['bob@peer.example', 'carl@peer.example'], true] : [['eve@peer.example'], false],
    );
    const opened = await job.open();
    assert.ok(opened.ok);
    const content = (await readAll(opened)).toString('latin1');
    assert.equal(content, `${job.junk ? FLAG : ''}${RECEIVED}${message.toString('latin1')}`);
    assert.deepEqual([job.size, opened.size], [content.length, content.length]);
  }
  const { entry } = await router.show(queueId);
  assert.deepEqual([entry.junk, entry.authenticity], [true, AUTHENTICITY]);
  for (const given of jobs) await given.end('delivered', OK);
  const { entry: receipt, finished } = await router.show(queueId);
  assert.deepEqual([finished, receipt.junk, receipt.authenticity], [true, true, AUTHENTICITY]);
  assert.deepEqual(receipt.recipients[1]?.recipient, recipients[1]);
});

test('the mark and its exceptions outlive a restart, and a conversion to 7 bit', async () => {
  await using folder = await tempDir();
  const config = { routes: [{ to: 'peer.example', via: 'smtp://127.0.0.1', '8bit': 'convert' }] };
  const message = Buffer.from(`Subject: x\r\n\r\n${'Grüße\r\n'.repeat(100)}`);
  const first = await TestRouter.start(folder.path, { config });
  const facts = { eightBitBody: true };
  const to = ['bob@peer.example', { address: 'eve@peer.example', neverJunk: true }];
  await first.send({ envelope: envelope(to), message, facts, junk: true });
  await first.stop();
  await using router = await TestRouter.start(folder.path, { config });
  for (const given of [await router.delivery.next(), await router.delivery.next()]) {
    const opened = await given.job.open();
    const converted = opened.ok ? await opened.sevenBit?.() : undefined;
    assert.ok(typeof converted === 'object' && converted.ok);
    const content = (await readAll(converted)).toString('latin1');
    assert.equal(content.startsWith(FLAG), given.to[0] === 'bob@peer.example', given.to[0]);
    assert.equal(converted.size, content.length);
    await given.end('delivered', OK);
  }
});

test('junk-to names another mailbox, by the routes in force', async () => {
  const settings = settingsFor('./data', {
    routes: [
      { to: 'tag.example', via: 'lmtp://127.0.0.1', 'junk-to': '+Junk' },
      { to: 'one.example', via: 'lmtp://127.0.0.2', 'junk-to': 'junk@tag.example' },
      { to: '*', via: 'mx' },
    ],
  });
  const routing = new Routing(settings);
  const rows: [string, string, string][] = [
    ['bob@tag.example', 'bob+Junk@tag.example', 'lmtp://127.0.0.1'],
    ['bob+list@tag.example', 'bob+Junk@tag.example', 'lmtp://127.0.0.1'],
    ['"b o+b"@tag.example', '"b o+b"@tag.example', 'lmtp://127.0.0.1'],
    ['postmaster', 'postmaster', 'mx:mx.sealpost.test'],
    ['bob@one.example', 'junk@tag.example', 'lmtp://127.0.0.1'],
    ['bob@other.example', 'bob@other.example', 'mx:other.example'],
  ];
  for (const [address, expected, hop] of rows) {
    const target = routing.target(address, { id: '', reversePath: '', junk: true });
    assert.deepEqual([target.address, target.hop?.key], [expected, hop], address);
    assert.equal(routing.target(address, { id: '', reversePath: '', junk: false }).address, address);
  }
});

test('what goes to the mailbox for junk is the mail of its recipient in the queue', async () => {
  await using folder = await tempDir();
  const routes = [{ to: 'peer.example', via: 'lmtp://127.0.0.1', 'junk-to': '+Junk' }];
  await using router = await TestRouter.start(folder.path, { config: { routes } });
  const recipients = ['bob@peer.example', { address: 'eve@peer.example', neverJunk: true }];
  const queueId = await router.send({ envelope: envelope(recipients), junk: true });
  const jobs = [await router.delivery.next(), await router.delivery.next()];
  assert.deepEqual(jobs.map(({ to }) => to).sort(), [['bob+Junk@peer.example'], ['eve@peer.example']]);
  for (const given of jobs) await given.end('delivered', OK);
  const { entry } = await router.show(queueId);
  assert.deepEqual(
    entry.recipients.map(({ recipient, status }) => [recipient.address, status.state]),
    [
      ['bob@peer.example', 'delivered'],
      ['eve@peer.example', 'delivered'],
    ],
  );
});

test('junk that the mailbox for junk refuses goes to its recipient, and its sender hears of neither', async () => {
  await using folder = await tempDir();
  const routes = [{ to: 'peer.example', via: 'lmtp://127.0.0.1', 'junk-to': '+Junk' }];
  const config = { routes };
  const unknown = reply(550, '5.1.1', 'User unknown');
  const first = await TestRouter.start(folder.path, { config });
  const queueId = await first.send({ envelope: envelope(['bob@peer.example', 'carl@peer.example']), junk: true });
  const both = await first.delivery.next();
  assert.deepEqual(both.to, ['bob+Junk@peer.example', 'carl+Junk@peer.example']);
  await both.end('failed', unknown);
  // The restart forgets what memory knows.
  await first.stop();
  await using router = await TestRouter.start(folder.path, { config });
  const again = await router.delivery.next();
  assert.deepEqual([again.to, again.job.junk], [['bob@peer.example', 'carl@peer.example'], true]);
  await again.end('delivered', OK);
  const { entry, finished } = await router.show(queueId);
  assert.deepEqual([finished, entry.recipients.map(({ status }) => status.state)], [true, ['delivered', 'delivered']]);
  const { active, deferred } = await router.status();
  assert.deepEqual([active, deferred], [0, 0]);
});

test('junk that the recipient refuses too comes back once, as other mail does', async () => {
  await using folder = await tempDir();
  const routes = [{ to: 'peer.example', via: 'lmtp://127.0.0.1', 'junk-to': '+Junk' }];
  await using router = await TestRouter.start(folder.path, { config: { routes } });
  await router.send({ envelope: envelope(['bob@peer.example']), junk: true });
  for (const to of ['bob+Junk@peer.example', 'bob@peer.example']) {
    const given = await router.delivery.next();
    assert.deepEqual(given.to, [to]);
    await given.end('failed', reply(550, '5.1.1', 'User unknown'));
  }
  const notice = await router.delivery.next();
  assert.deepEqual([notice.job.reversePath, notice.to], ['', ['alice@sender.example']]);
});

test('junk-to is an address or a tag', () => {
  for (const text of ['Junk', '+', '+a b', '+Junk@', '@peer.example', '+Ju\r\nnk', 'a@b@']) {
    assert.throws(() => settingsFor('./data', { routes: [{ to: '*', via: 'mx', 'junk-to': text }] }), /junk-to/, text);
  }
});
