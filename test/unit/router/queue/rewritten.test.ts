import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tempDir } from '#test/kit/temp.ts';
import { envelope, type GivenJob, messageOf, NO_USER, OK, readAll, TestRouter } from '#test/unit/router/fixture.ts';

/** Mail whose header or reverse-path is not what came (rewriting, SRS, lists). */

const MESSAGE = messageOf(3000);
const END = MESSAGE.indexOf('\r\n\r\n') + 4;
const RECEIVED = 'Received: from client.example\r\n';
const HEADER = 'From: <alice@new.example>\r\nX-Byte: \xe4\r\nSubject: Hello\r\n\r\n';
const REWRITTEN = RECEIVED + HEADER + MESSAGE.subarray(END).toString('latin1');

for (const [title, chunk] of [
  ['in one piece', undefined],
  ['in many pieces', 50],
] as const) {
  test(`a rewritten header takes the place of the one that came, ${title}, and is what is signed`, async () => {
    await using folder = await tempDir();
    await using router = await TestRouter.start(folder.path);
    router.signer.answer = () => ({ outcome: 'signed', header: 'DKIM-Signature: a=1\r\n', keys: [] });
    const sent = { message: MESSAGE, header: HEADER, originating: true, ...(chunk && { chunk }) };
    const queueId = await router.send({ envelope: envelope(['bob@peer.example']), ...sent });
    assert.equal(await router.readQueued(queueId), REWRITTEN, 'what operators see');
    const given = await router.delivery.next();
    assert.equal(given.job.size, REWRITTEN.length);
    const opened = await given.job.open();
    assert.ok(opened.ok);
    const content = (await readAll(opened)).toString('latin1');
    assert.equal(content, `DKIM-Signature: a=1\r\n${REWRITTEN}`);
    assert.equal(opened.size, content.length);
    assert.equal(router.signer.calls[0]?.header, RECEIVED + HEADER);
    await given.end('delivered', OK);
  });
}

test('a rewritten header is the one that is converted to 7 bit, and is there after a restart', async () => {
  await using folder = await tempDir();
  const config = { routes: [{ to: 'peer.example', via: 'smtp://127.0.0.1', '8bit': 'convert' }] };
  const message = Buffer.from(`Subject: old\r\n\r\n${'Gr\u00fc\u00dfe and more\r\n'.repeat(5000)}`);
  const first = await TestRouter.start(folder.path, { config });
  const facts = { eightBitBody: true };
  await first.send({ envelope: envelope(['bob@peer.example']), message, header: 'Subject: new\r\n\r\n', facts });
  await first.stop();
  await using router = await TestRouter.start(folder.path, { config });
  const given = await router.delivery.next();
  const opened = await given.job.open();
  const converted = opened.ok ? await opened.sevenBit?.() : undefined;
  assert.ok(typeof converted === 'object' && converted.ok && converted.converted);
  const content = (await readAll(converted)).toString('latin1');
  assert.match(content, /^Received: from client.example\r\nSubject: new\r\n/);
  assert.ok(!content.includes('old'));
  assert.equal(converted.size, content.length);
  await given.end('delivered', OK);
});

test('the reverse-path that policy took from the message is the one that it goes out with', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  await router.send({ envelope: envelope(['bob@peer.example']), reversePath: 'author@sender.example' });
  const given = await router.delivery.next();
  assert.equal(given.job.reversePath, 'author@sender.example');
  await given.end('failed', NO_USER);
  assert.deepEqual((await router.delivery.next('the notice')).to, ['author@sender.example']);
});

test('a notice for a sender in another name of a local domain is delivered in that domain', async () => {
  await using folder = await tempDir();
  const config = {
    domains: [{ name: 'sender.example', local: true }],
    rewrite: { 'domain-aliases': { 'alias.example': 'sender.example' } },
  };
  await using router = await TestRouter.start(folder.path, { config });
  await router.send({ envelope: envelope(['bob@peer.example'], { reversePath: 'alice@Alias.Example' }) });
  await (await router.delivery.next()).end('failed', NO_USER);
  assert.deepEqual((await router.delivery.next('the notice')).to, ['alice@sender.example']);
});

test('recipients with reverse-paths of their own go apart from the others, and a notice goes to whom each names', async () => {
  await using folder = await tempDir();
  await using router = await TestRouter.start(folder.path);
  const srs = { reversePath: 'SRS0=H=TT=sender.example=alice@ours.example' };
  const list = { reversePath: 'owner-list@ours.example', reportTo: 'olga@ours.example' };
  const to = [
    { address: 'a@peer.example' },
    { address: 'b@peer.example', ...srs },
    { address: 'c@peer.example', ...list },
    { address: 'd@peer.example', ...list },
  ];
  await router.send({ envelope: envelope(to) });
  const jobs: GivenJob[] = [];
  for (let n = 0; n < 3; n++) jobs.push(await router.delivery.next());
  const paths = jobs.map((given) => [given.job.reversePath, ...given.to]);
  assert.deepEqual(paths.sort(), [
    [srs.reversePath, 'b@peer.example'],
    ['alice@sender.example', 'a@peer.example'],
    [list.reversePath, 'c@peer.example', 'd@peer.example'],
  ]);
  for (const given of jobs) await given.end('failed', NO_USER);
  const readers: Record<string, string[]> = {};
  for (let n = 0; n < 3; n++) {
    const notice = await router.delivery.next('a notice');
    const text = await notice.content();
    const about = [...text.matchAll(/^Final-Recipient: rfc822; (\S+)/gm)].map(([, address = '']) => address);
    const [to = ''] = notice.to;
    readers[to] = [...(readers[to] ?? []), ...about].sort();
    assert.match(text, new RegExp(`^To: <${to}>`, 'm'));
    await notice.end('delivered', OK);
  }
  assert.deepEqual(readers, {
    'alice@sender.example': ['a@peer.example', 'b@peer.example'],
    'olga@ours.example': ['c@peer.example', 'd@peer.example'],
  });
});
