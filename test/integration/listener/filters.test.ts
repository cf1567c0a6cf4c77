import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Clamd, EICAR } from '#test/kit/filters/clamd.ts';
import { GTUBE, Rspamd } from '#test/kit/filters/rspamd.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
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

/** Memory that only this process has, in MB. */
async function ownMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

test('a message of 50 MB goes through both filters, and takes less than 100 MB of memory', {
  ...needs('rspamd', 'clamd'),
  timeout: 90_000,
}, async (t) => {
  await using rspamd = await Rspamd.start();
  await using clamd = await Clamd.start();
  const limits = { timeout: '1m', 'max-size': '60MB' };
  const filters = [
    { ...RSPAMD, url: rspamd.url, ...limits },
    { ...CLAMD, url: clamd.url, ...limits },
  ];
  const routes = [{ to: '*', via: 'discard' }];
  const sections = { limits: { 'message-size': '60MB' }, routes, filters };
  const config = Object.entries(sections).map(([name, section]) => `${name}: ${JSON.stringify(section)}`);
  await using node = await SealpostNode.create({ config: config.join('\n') });
  const program = await node.start();
  await using dialog = await Dialog.connect(node.port, { timeout: 60_000 });
  await dialog.expect(220);
  for (const line of ['EHLO client.test', 'MAIL FROM:<a@far.test>', 'RCPT TO:<b@far.test>'])
    await dialog.say(line, 250);
  await dialog.say('DATA', 354);
  const before = await ownMemory(program.pid);
  let peak = before;
  const sampling = setInterval(async () => {
    peak = Math.max(peak, await ownMemory(program.pid));
  }, 20);
  const lines = randomBytes(57 * 1024)
    .toString('base64')
    .replace(/.{76}/g, '$&\r\n');
  const mime = 'MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64';
  dialog.send(`From: a@far.test\r\nMessage-ID: <1@far.test>\r\n${mime}\r\n\r\n`);
  for (let sent = 0; sent < 50 * 1024 * 1024; sent += lines.length) dialog.send(lines);
  const { code, text } = await dialog.command('.');
  clearInterval(sampling);
  assert.equal(code, 250, text);
  assert.match(program.output, /"filters":\{"spam":"no action, score [^"]+","virus":"clean"\}/);
  const grown = peak - before;
  t.diagnostic(`memory grew by ${grown.toFixed(0)} MB`);
  assert.ok(grown < 100, `memory grew by ${grown.toFixed(0)} MB`);
});
