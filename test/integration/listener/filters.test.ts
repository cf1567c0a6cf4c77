import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clamd, EICAR } from '#test/kit/filters/clamd.ts';
import { GTUBE, Rspamd } from '#test/kit/filters/rspamd.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialogue, startListener } from '#test/unit/listener/harness.ts';

/** Real filters behind a listener with a policy and a router in memory. */

const RSPAMD = { name: 'spam', type: 'rspamd' };
const CLAMD = { name: 'virus', type: 'clamd' };

/** The reply to one message with this body. */
async function send(port: number, body: string, header = 'Subject: test'): Promise<string> {
  using client = await Dialogue.greeted(port);
  await client.sayAll('MAIL FROM:<author@example.com>', 'RCPT TO:<one@dest.test>', 'RCPT TO:<two@dest.test>', 'DATA');
  return await client.say(`From: author@example.com\r\nMessage-ID: <1@example.com>\r\n${header}\r\n\r\n${body}\r\n.`);
}

test(
  'rspamd: GTUBE is rejected, its milder forms are junk, clean mail passes and rspamd knows the session',
  needs('rspamd'),
  async () => {
    await using rspamd = await Rspamd.start();
    await using server = await startListener({ config: { filters: [{ ...RSPAMD, url: rspamd.url }] } });
    const { messages } = server.router;

    assert.equal(await send(server.port, GTUBE.reject), '550 5.7.1 Gtube pattern');
    assert.deepEqual([messages.length, server.router.open], [0, 0]);

    assert.match(
      await send(server.port, 'clean', 'Subject: test\r\nX-Forged: 1\r\nX-Forged: 2'),
      /^250 2\.0\.0 Queued/,
    );
    const [clean] = messages;
    assert.equal(clean?.junk, false);
    const told =
      'X-Told: 127.0.0.1 client.test  Q2 client.test author@example.com one@dest.test\r\n\ttwo@dest.test\r\n';
    assert.deepEqual(clean?.prepend, ['Received: test\r\n', told]);
    assert.equal(clean?.header, 'From: author@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: test\r\n\r\n');

    assert.match(await send(server.port, GTUBE['add header']), /^250 /);
    assert.deepEqual([messages[1]?.junk, messages[1]?.header], [true, undefined]);
    assert.match(await send(server.port, GTUBE['rewrite subject'], 'Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?='), /^250 /);
    assert.equal(messages[2]?.junk, true);
    // rspamd encodes it itself.
    assert.match(
      messages[2]?.header ?? '',
      /\r\nSubject: =\?UTF-8\?Q\?=2A=2A=2A_SPAM_=2A=2A=2A_Gr=C3=BC=C3=9Fe\?=\r\n/,
    );
    const said = server.log.flatMap((line) => (line['filters'] === undefined ? [] : [line['filters']]));
    assert.deepEqual(said[0], { spam: 'reject, score 15.00' });
  },
);

test('clamd: EICAR is rejected, also in an attachment; clean mail passes', needs('clamd'), async () => {
  await using clamd = await Clamd.start();
  await using server = await startListener({ config: { filters: [{ ...CLAMD, url: clamd.url }] } });
  const attached = Buffer.from(EICAR).toString('base64');
  const mime = 'MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64';
  const found = '550 5.7.1 Message is rejected: it contains Eicar-Test-Signature.UNOFFICIAL';
  assert.equal(await send(server.port, EICAR), found);
  assert.equal(await send(server.port, attached, mime), found);
  assert.match(await send(server.port, 'clean'), /^250 /);
  assert.equal(server.router.messages.length, 1);
});

test(
  'both stopped: mail is deferred, or passes with a mark for each, as configured',
  needs('rspamd', 'clamd'),
  async () => {
    await using rspamd = await Rspamd.start();
    await using clamd = await Clamd.start();
    const filters = (onTrouble: string) => [
      { ...RSPAMD, url: rspamd.url, 'on-trouble': onTrouble, timeout: '2s' },
      { ...CLAMD, url: clamd.url, 'on-trouble': onTrouble, timeout: '2s' },
    ];
    await using strict = await startListener({ config: { filters: filters('defer') } });
    await using mild = await startListener({ config: { filters: filters('accept') } });
    assert.match(await send(strict.port, 'both are there'), /^250 /);
    await Promise.all([rspamd.stop(), clamd.stop()]);
    const away = '451 4.7.1 Message cannot be checked right now, please try again later';
    assert.equal(await send(strict.port, GTUBE.reject), away);
    assert.match(await send(mild.port, GTUBE.reject), /^250 /);
    assert.equal(strict.router.messages.length, 1);
    assert.deepEqual(mild.router.messages[0]?.prepend.slice(1), [
      'X-Sealpost-Unfiltered: spam; the filter is not available\r\n',
      'X-Sealpost-Unfiltered: virus; the filter is not available\r\n',
    ]);
  },
);

test('rspamd: more recipients than fit into a request cost nothing', needs('rspamd'), async () => {
  await using rspamd = await Rspamd.start();
  await using server = await startListener({ config: { filters: [{ ...RSPAMD, url: rspamd.url }] } });
  using client = await Dialogue.greeted(server.port);
  const recipients = Array.from({ length: 400 }, (_, n) => `RCPT TO:<r${n}@${'x.'.repeat(115)}test>`);
  for (const said of await client.sayAll('MAIL FROM:<a@b.test>', ...recipients)) assert.match(said, /^250 /);
  await client.say('DATA');
  assert.match(await client.say('Subject: x\r\n\r\ntext\r\n.'), /^250 /);
  assert.equal(server.router.messages[0]?.envelope.recipients.length, 400);
});
