import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAuthority } from '#test/kit/nodes/certificate.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type SinkAction, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

async function send(dialog: Dialog, data: string): Promise<void> {
  await dialog.say('MAIL FROM:<a@x.test> SIZE=9 BODY=8BITMIME', 250);
  await dialog.say('RCPT TO:<b@y.test> NOTIFY=NEVER', 250);
  await dialog.say('DATA', 354);
  dialog.send(data);
}

for (const [name, wire, message] of [
  ['an empty message', '.\r\n', ''],
  ['a stuffed dot at the start', '..a\r\n.\r\n', '.a\r\n'],
  ['stuffed dots in the middle', 'a\r\n..\r\n...\r\n.\r\n', 'a\r\n.\r\n..\r\n'],
  ['line ends that are none', 'a\n.\nb\r.\rc\n.\r\nd\r\n.\r\n', 'a\n.\nb\r.\rc\n.\r\nd\r\n'],
  ['octets above 127 and NUL', '\u00ff\u0000\r\n.\r\n', '\u00ff\u0000\r\n'],
] as const) {
  test(`the sink keeps ${name} byte for byte`, async () => {
    await using sink = await SmtpSink.start();
    await using dialog = await Dialog.connect(sink.port);
    await dialog.expect(220);
    await dialog.say('EHLO me.test', 250, 'PIPELINING');
    await send(dialog, wire);
    await dialog.expect(250);
    const [taken] = sink.messages;
    assert.deepEqual(taken?.data, Buffer.from(message));
    assert.deepEqual(taken?.from, { address: 'a@x.test', parameters: ['SIZE=9', 'BODY=8BITMIME'] });
    assert.deepEqual(taken?.recipients, [{ address: 'b@y.test', parameters: ['NOTIFY=NEVER'] }]);
    await dialog.say('QUIT', 221);
    await dialog.waitForEnd();
  });
}

test('a message of 20 MB arrives whole and soon', async () => {
  await using sink = await SmtpSink.start();
  await using dialog = await Dialog.connect(sink.port);
  await dialog.expect(220);
  const body = `${'x'.repeat(98)}\r\n`.repeat(200_000);
  await send(dialog, `${body}.\r\n`);
  await dialog.expect(250);
  assert.equal(sink.messages[0]?.data.equals(Buffer.from(body)), true);
});

test('the final dot is found when it comes one byte at a time, pipelined commands behind it too', async () => {
  await using sink = await SmtpSink.start();
  await using dialog = await Dialog.connect(sink.port);
  await dialog.expect(220);
  await send(dialog, '');
  for (const byte of 'x\r\n.\r\nNOOP\r\nQUIT\r\n') dialog.send(byte);
  for (const code of [250, 250, 221]) await dialog.expect(code);
  assert.equal(sink.messages[0]?.data.toString(), 'x\r\n');
  assert.deepEqual(sink.sessions[0]?.lines.slice(-2), ['NOOP', 'QUIT']);
});

for (const [name, action, seen] of [
  ['refuses', '550 5.1.1 nobody', 'reply'],
  ['answers and closes', { reply: '421 4.3.2 going', close: true }, 'reply then end'],
  ['closes', 'close', 'end'],
  ['hangs', 'hang', 'nothing'],
] as [string, SinkAction, string][]) {
  test(`a scripted sink ${name} at one recipient`, async () => {
    await using sink = await SmtpSink.start({
      script: ({ verb, address }) => (verb === 'RCPT' && address === 'bad@y.test' ? action : undefined),
    });
    await using dialog = await Dialog.connect(sink.port, { timeout: 100, localAddress: '127.0.0.9' });
    await dialog.expect(220);
    await dialog.say('MAIL FROM:<>', 250);
    await dialog.say('RCPT TO:<good@y.test>', 250);
    const reply = dialog.command('RCPT TO:<bad@y.test>');
    if (seen.startsWith('reply')) assert.ok((await reply).code > 400);
    else await assert.rejects(reply, seen === 'end' ? /connection ended/ : /waited 100 ms/);
    if (seen.endsWith('end')) await dialog.waitForEnd();
    else assert.equal(dialog.ended, false);
    assert.equal(sink.sessions[0]?.remote, '127.0.0.9');
  });
}

test('a greeting that is rubbish, and EHLO that is not known', async () => {
  await using sink = await SmtpSink.start({
    extensions: null,
    script: ({ verb }) => (verb === 'CONNECT' ? 'HTTP/1.1 400 Bad Request' : undefined),
  });
  await using dialog = await Dialog.connect(sink.port, { timeout: 100 });
  await waitFor(() => dialog.pending !== '', { what: 'the greeting' });
  assert.equal(dialog.pending, 'HTTP/1.1 400 Bad Request\r\n');
});

test('LMTP answers the final dot once for each recipient and keeps those that it took', async () => {
  await using sink = await SmtpSink.start({
    lmtp: true,
    script: ({ verb, address }) => (verb === 'MESSAGE' && address === 'full@y.test' ? '452 4.2.2 full' : undefined),
  });
  await using dialog = await Dialog.connect(sink.port);
  await dialog.expect(220);
  await dialog.say('LHLO me.test', 250);
  await dialog.say('MAIL FROM:<a@x.test>', 250);
  await dialog.say('RCPT TO:<full@y.test>', 250);
  await dialog.say('RCPT TO:<b@y.test>', 250);
  await dialog.say('DATA', 354);
  dialog.send('x\r\n.\r\n');
  await dialog.expect(452);
  await dialog.expect(250);
  assert.deepEqual(
    sink.messages.map((m) => m.recipients.map((r) => r.address)),
    [['b@y.test']],
  );
});

test('STARTTLS: a good handshake carries mail, a failing one ends in a TLS error', async () => {
  const certificate = await (await createAuthority()).issue({ names: ['mx.test'] });
  await using sink = await SmtpSink.start({ tls: certificate });
  await using dialog = await Dialog.connect(sink.port);
  await dialog.expect(220);
  await dialog.say('EHLO me.test', 250, 'STARTTLS');
  await dialog.say('STARTTLS', 220);
  const socket = await dialog.startTls('mx.test');
  assert.equal(socket.getPeerCertificate().subjectaltname, 'DNS:mx.test');
  assert.doesNotMatch((await dialog.say('EHLO me.test', 250)).text, /STARTTLS/);
  await send(dialog, 'x\r\n.\r\n');
  await dialog.expect(250);
  assert.equal(sink.messages[0]?.session.tls?.serverName, 'mx.test');

  await using broken = await SmtpSink.start({ tls: 'fail' });
  await using other = await Dialog.connect(broken.port);
  await other.expect(220);
  await other.say('STARTTLS', 220);
  await assert.rejects(other.startTls());
});

for (const lines of [
  [`AUTH PLAIN ${Buffer.from('\0me\0secret').toString('base64')}`],
  ['AUTH PLAIN', Buffer.from('\0me\0secret').toString('base64')],
  ['AUTH LOGIN', Buffer.from('me').toString('base64'), Buffer.from('secret').toString('base64')],
]) {
  test(`the sink records ${lines.length} lines of ${lines[0]?.slice(0, 10)}`, async () => {
    await using sink = await SmtpSink.start({ extensions: ['AUTH PLAIN LOGIN'] });
    await using dialog = await Dialog.connect(sink.port);
    await dialog.expect(220);
    for (const [i, line] of lines.entries()) await dialog.say(line, i === lines.length - 1 ? 235 : 334);
    assert.deepEqual(sink.sessions[0]?.auth, { user: 'me', password: 'secret' });
  });
}

test('a sink that goes away drops its sessions', async () => {
  await using sink = await SmtpSink.start();
  await using dialog = await Dialog.connect(sink.port);
  await dialog.expect(220);
  assert.equal(sink.open, 1);
  sink.dropAll();
  await dialog.waitForEnd();
  await waitFor(() => sink.sessions[0]?.closed, { what: 'the sink to see the end' });
});
