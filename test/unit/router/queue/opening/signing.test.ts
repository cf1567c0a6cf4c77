import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SignOutcome } from '#services/signer/contract.ts';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { SealpostError } from '#shared/errors.ts';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, messageOf, OK, readAll, TestRouter } from '#test/unit/router/fixture.ts';

const MESSAGE = messageOf(3000);
const HEADER = MESSAGE.subarray(0, MESSAGE.indexOf('\r\n\r\n') + 4).toString('latin1');
const RECEIVED = 'Received: from client.example\r\n';

async function sendOriginating(router: TestRouter): Promise<string> {
  return router.send({ envelope: envelope(['bob@peer.example']), message: MESSAGE, originating: true });
}

test('the signer gets the header block that will be sent; its signature goes in front and into the receipt', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const keys = [{ domain: 'sender.example', selector: 's1' }];
  router.signer.answer = () => ({ outcome: 'signed', header: 'DKIM-Signature: a=1\r\n', keys });
  const queueId = await sendOriginating(router);
  const given = await router.delivery.next();
  const opened = await given.job.open();
  assert.ok(opened.ok);
  const content = (await readAll(opened)).toString('latin1');
  assert.equal(content, `DKIM-Signature: a=1\r\n${RECEIVED}${MESSAGE.toString('latin1')}`);
  assert.equal(opened.size, content.length);
  assert.deepEqual(router.signer.calls, [
    { header: RECEIVED + HEADER, bodyHash: router.signer.calls[0]?.bodyHash, queueId },
  ]);
  await given.end('delivered', OK);
  assert.deepEqual((await router.show(queueId)).entry.recipients[0]?.signatures, keys);
});

test('mail that is converted to 7 bit carries a signature of what is sent', async () => {
  await using folder = await tempDir();
  const config = { routes: [{ to: 'peer.example', via: 'smtp://127.0.0.1', '8bit': 'convert' }] };
  await using router = await TestRouter.start(folder.path, { config });
  router.signer.answer = () => ({ outcome: 'signed', header: 'DKIM-Signature: a=1\r\n', keys: [] });
  // Of several pieces, so that it is read from the disk.
  const message = Buffer.from(`Subject: Gr\u00fc\u00dfe\r\n\r\n${'Gr\u00fc\u00dfe and more\r\n'.repeat(5000)}`);
  await router.send({
    envelope: envelope(['bob@peer.example']),
    message,
    originating: true,
    facts: { eightBitBody: true },
  });
  const given = await router.delivery.next();
  const opened = await given.job.open();
  const converted = opened.ok ? await opened.sevenBit?.() : undefined;
  assert.ok(typeof converted === 'object' && converted.ok && converted.converted);
  const content = (await readAll(converted)).toString('latin1');
  assert.match(content, /^DKIM-Signature: a=1\r\nReceived: from client.example\r\nSubject: =\?utf-8\?B\?/);
  assert.match(content, /^[\x00-\x7f]*$/);
  assert.equal(converted.size, content.length);
  const end = content.indexOf('\r\n\r\n') + 4;
  const hash = new RelaxedBodyHash();
  hash.update(Buffer.from(content.slice(end)));
  const { header, bodyHash } = router.signer.calls.at(-1) ?? {};
  assert.equal(`DKIM-Signature: a=1\r\n${header}`, content.slice(0, end));
  assert.equal(bodyHash, hash.digest());
  await given.end('delivered', OK);
});

test('a header that is longer than a piece reaches the signer whole', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const header = `Subject: ${'x'.repeat(900)}\r\n`.repeat(150);
  const message = Buffer.from(`${header}\r\nbody\r\n`);
  await router.send({ envelope: envelope(['bob@peer.example']), message, originating: true });
  await (await router.delivery.next()).content();
  assert.equal(router.signer.calls[0]?.header, `${RECEIVED}${header}\r\n`);
});

test('mail that does not originate from this site is not shown to the signer', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  await router.send({ envelope: envelope(['bob@peer.example']) });
  await (await router.delivery.next()).content();
  assert.deepEqual(router.signer.calls, []);
});

test('best effort: mail goes without a signature, and is counted by domain', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  router.signer.answer = () => ({ outcome: 'unsigned', domain: 'sender.example', reason: 'no key' });
  for (let n = 0; n < 2; n++) {
    await sendOriginating(router);
    const given = await router.delivery.next();
    assert.equal(await given.content(), RECEIVED + MESSAGE.toString('latin1'));
    await given.end('delivered', OK);
  }
  const status = await router.service.handlers['status-show']({}, router.context());
  assert.deepEqual(status.unsigned, [{ domain: 'sender.example', reason: 'no key', count: 2 }]);
});

test('enforce, and the cause may pass: the mail waits, and the reason can be seen', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  router.signer.answer = () => ({ outcome: 'hold', domain: 'sender.example', reason: 'the key is not proven' });
  const queueId = await sendOriginating(router);
  const given = await router.delivery.next();
  const opened = await given.job.open();
  assert.ok(!opened.ok);
  await given.end(opened.state, opened.reply, { local: opened.local });
  const status = (await router.show(queueId)).entry.recipients[0]?.status;
  assert.ok(status?.state === 'deferred');
  assert.match(status.outcome.reply.text, /sender\.example: the key is not proven/);
  assert.equal(status.outcome.reply.enhanced, '4.7.5');
  assert.equal(status.attempts, 0);
  assert.ok(status.nextAttempt - Date.now() < 2000);
});

test('enforce, and it can never be signed: the mail is returned', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const refuse: SignOutcome = { outcome: 'refuse', domain: 'sender.example', reason: 'two From fields' };
  router.signer.answer = ({ queueId }) => (queueId === refused ? refuse : { outcome: 'not-configured' });
  const refused = await sendOriginating(router);
  const given = await router.delivery.next();
  const opened = await given.job.open();
  assert.ok(!opened.ok);
  assert.deepEqual([opened.state, opened.reply.code, opened.reply.enhanced], ['failed', 550, '5.7.5']);
  await given.job.finish(
    given.job.recipients.map(({ index }) => ({ index, state: opened.state, outcome: { at: 1, reply: opened.reply } })),
  );
  const notice = await router.delivery.next();
  assert.match(await notice.content(), /two From fields/);
  assert.equal(router.signer.calls.at(-1)?.queueId, notice.job.queueId, 'the notice is shown to the signer, too');
});

describe('a signer in trouble', { concurrency: true }, () => {
  for (const code of ['unavailable', 'timeout', 'busy', 'internal', 'malformed'] as const) {
    test(`a signer that answers ${code} makes the mail wait, never return`, async () => {
      await using folder = await tempDir();
      await using router = await TestRouter.start(folder.path);
      router.signer.answer = () => {
        throw new SealpostError(code, 'as the test says');
      };
      await sendOriginating(router);
      const given = await router.delivery.next();
      const opened = await given.job.open();
      assert.ok(!opened.ok);
      assert.deepEqual([opened.state, opened.local, opened.reply.code], ['deferred', true, 451]);
      await given.end(opened.state, opened.reply, { local: opened.local });
      // It is back: the mail goes within seconds.
      router.signer.answer = () => ({ outcome: 'not-configured' });
      const again = await router.delivery.next();
      assert.equal(await again.content(), RECEIVED + MESSAGE.toString('latin1'));
    });
  }
});

test('while the signer does not answer, one message asks for all; the others do not wait for the same time-out', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  router.signer.answer = () => {
    throw new SealpostError('unavailable', 'nobody');
  };
  for (let n = 0; n < 20; n++) await sendOriginating(router);
  for (const given of router.delivery.jobs.splice(0)) assert.equal((await given.job.open()).ok, false);
  assert.equal(router.signer.calls.length, 1);
});
