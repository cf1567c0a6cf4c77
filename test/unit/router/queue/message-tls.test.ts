import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageTls } from '#shared/mail/message-tls.ts';
import { reply } from '#shared/mail/reply.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, OK, TestRouter } from '#test/unit/router/fixture.ts';

/** Mail that asks for TLS itself, in the queue. */

const FORCED: MessageTls = { level: 'required', by: 'subject', otherwise: 'return' };
const HELD: MessageTls = { ...FORCED, otherwise: 'hold' };
const NO_TLS = reply(550, '5.7.10', 'TLS is required for this message, but mx.peer.example does not offer STARTTLS');
const INSECURE = { insecure: true };

test('where no host has TLS, the sender hears why, and nothing else of the message', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const queueId = await router.send({
    envelope: envelope(['bob@peer.example'], { ret: 'FULL' }),
    originating: true,
    tls: FORCED,
  });
  const given = await router.delivery.next();
  assert.deepEqual([given.hop.tls, given.hop.demand?.strict, given.job.ret], ['required', true, 'HDRS']);
  await given.end('failed', NO_TLS, INSECURE);
  const { entry, finished } = await router.show(queueId);
  assert.deepEqual([finished, entry.tls], [true, FORCED], 'the receipt keeps what was asked for');
  const notice = await router.delivery.next('the report');
  assert.equal(notice.hop.demand, undefined);
  const text = await notice.content();
  assert.match(text, /^It must be sent with TLS, because of its subject\.\r$/m);
  assert.match(
    text,
    /550 5\.7\.10 TLS is required for this message, but mx\.peer\.example does not offer STARTTLS\r\n/,
  );
  assert.match(text, /^Status: 5\.7\.10\r$/m);
  assert.match(text, /^Message-ID: <1@sender\.example>\r$/m);
  assert.doesNotMatch(text, /Subject: Hello|xxxx/);
});

test('otherwise: hold keeps it for an operator, with the reason, over a restart', async () => {
  await using folder = await tempDir();
  const first = await TestRouter.start(folder.path);
  const queueId = await first.send({ envelope: envelope(['bob@peer.example']), originating: true, tls: HELD });
  await (await first.delivery.next()).end('failed', NO_TLS, INSECURE);
  const held = await first.show(queueId);
  const [recipient] = held.entry.recipients;
  assert.deepEqual([held.finished, held.entry.state, recipient?.status.state], [false, 'hold', 'deferred']);
  assert.deepEqual(recipient?.status.state === 'deferred' && recipient.status.outcome.reply, NO_TLS);
  await first.stop();

  await using router = await TestRouter.start(folder.path);
  assert.equal((await router.show(queueId)).entry.state, 'hold');
  assert.equal((await router.status()).hold, 1);
  assert.equal(router.delivery.jobs.length, 0);
  await router.service.handlers['message-release']({ queueId }, router.context());
  const again = await router.delivery.next();
  assert.equal(again.hop.tls, 'required', 'a release does not weaken it');
  await again.end('failed', NO_TLS, INSECURE);
  await waitFor(async () => (await router.show(queueId)).entry.state === 'hold', { what: 'it to be held again' });
});

test('a message is held when nothing else is left of it', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const to = ['bob@peer.example', 'eve@other.example'];
  const queueId = await router.send({ envelope: envelope(to), originating: true, tls: HELD });
  const jobs = [await router.delivery.next(), await router.delivery.next()];
  const toPeer = jobs.find(({ to: [address] }) => address === 'bob@peer.example');
  const toOther = jobs.find(({ to: [address] }) => address === 'eve@other.example');
  await toPeer?.end('failed', NO_TLS, INSECURE);
  assert.notEqual((await router.show(queueId)).entry.state, 'hold', 'the other one is under way');
  assert.ok((await toOther?.job.open())?.ok);
  await toOther?.end('delivered', OK);
  assert.equal((await router.show(queueId)).entry.state, 'hold');
});

test('what was accepted keeps what it asks for, whatever the configuration says later', async () => {
  await using folder = await tempDir();
  const config = { delivery: { 'forced-tls': { subject: '[secure]' } } };
  const first = await TestRouter.start(folder.path, { config });
  const queueId = await first.send({ envelope: envelope(['bob@peer.example']), originating: true, tls: FORCED });
  await first.stop();
  await using router = await TestRouter.start(folder.path);
  assert.equal((await router.delivery.next()).hop.tls, 'required');
  assert.deepEqual((await router.show(queueId)).entry.tls, FORCED);
});

test('REQUIRETLS of the envelope counts more than a header that renounces TLS', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const tls: MessageTls = { level: 'optional', by: 'tls-required' };
  await router.send({ envelope: envelope(['bob@peer.example'], { requireTls: true }), tls });
  const given = await router.delivery.next();
  assert.deepEqual([given.hop.tls, given.hop.demand?.requireTls], ['verified', 'always']);
  await given.end('failed', reply(550, '5.7.30', 'this message needs REQUIRETLS, which mx does not offer'), INSECURE);
  const notice = await router.delivery.next('the report');
  assert.equal(notice.hop.demand?.requireTls, 'if-offered', 'the report asks for it too');
  assert.match(await notice.content(), /It must be sent with REQUIRETLS, because its sender asked for it\./);
});
