import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { waitFor } from '#test/kit/wait.ts';

/**
 * Only CRLF.CRLF ends a message (RFC 5321 §4.1.1.4). Whoever sees an end elsewhere takes what follows for commands of
 * its own: SMTP smuggling. So each of these may come in as one message, or be refused, and never as two.
 */
const ENDS: [string, string][] = [
  ['LF.LF', '\n.\n'],
  ['CRLF.LF', '\r\n.\n'],
  ['LF.CRLF', '\n.\r\n'],
  ['CR.CR', '\r.\r'],
  ['CRLF.CR', '\r\n.\r'],
  ['CR.CRLF', '\r.\r\n'],
  ['CR.LF', '\r.\n'],
  ['LF.CR', '\n.\r'],
  ['LF.CR LF', '\n.\r\n'],
  ['CRLF.NUL CRLF', '\r\n.\0\r\n'],
  ['CRLF NUL.CRLF', '\r\n\0.\r\n'],
  ['CR NUL LF.CRLF', '\r\0\n.\r\n'],
  ['CRLF.CR NUL LF', '\r\n.\r\0\n'],
  ['CRLF.space CRLF', '\r\n. \r\n'],
  ['CRLF..CRLF', '\r\n..\r\n'],
  ['CRLF.CRCRLF', '\r\n.\r\r\n'],
  ['NEL.NEL', '\x85.\x85'],
];

const SMUGGLED = 'MAIL FROM:<smuggled@evil.test>\r\nRCPT TO:<victim@dest.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx';

test('one message in is one message out, whatever ends stand in it', async (t) => {
  await using sink = await SmtpSink.start();
  await using node = await SealpostNode.create({ sink: sink.port });
  await node.start();

  for (const [name, end] of ENDS) {
    for (const pieces of ['whole', 'bytewise'] as const) {
      await t.test(`${name}, ${pieces}`, async () => {
        const before = sink.messages.length;
        await using client = await Dialog.connect(node.port);
        await client.expect(220);
        await client.say('EHLO client.test', 250);
        await client.say('MAIL FROM:<a@example.com>', 250);
        await client.say('RCPT TO:<b@dest.test>', 250);
        await client.say('DATA', 354);
        const text = Buffer.from(`Subject: outer\r\n\r\nbefore${end}${SMUGGLED}\r\n.\r\nNOOP\r\n`, 'latin1');
        if (pieces === 'whole') client.send(text);
        else for (const byte of text) client.send(Buffer.of(byte));
        const { code } = await client.read();
        assert.ok(code === 250 || code >= 500, String(code));
        if (code >= 500) {
          // The two sides may not agree where the text ended: what was pipelined behind it is not run.
          await client.waitForEnd();
          assert.equal(client.pending, '', 'a reply after the refusal');
          assert.equal(sink.messages.length, before, 'a refused message went out');
          return;
        }
        // The session is in step: the next reply is the one to NOOP, and the last.
        await client.expect(250);
        assert.equal(client.pending, '');
        await waitFor(() => sink.messages.length > before, { what: 'the message at the next hop' });
        await client.say('QUIT', 221);
        const out = sink.messages.slice(before);
        assert.equal(out.length, 1, 'one message out');
        assert.equal(out[0]?.from.address, 'a@example.com');
        assert.ok(out[0].data.includes('Subject: smuggled'), 'the rest of the text is text');
        assert.doesNotMatch(
          out[0].data.toString('latin1'),
          /[^\r]\n|\r[^\n]|\0/,
          'what goes out has no bare CR, LF or NUL',
        );
      });
    }
  }
  assert.ok(sink.messages.every((m) => m.from.address === 'a@example.com'));
});
