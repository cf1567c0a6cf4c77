import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderStart } from '#shared/mail/header-start.ts';

const MESSAGES: [name: string, came: string, goesOn: string][] = [
  ['a field', 'From: a@b.test\r\n\r\nx\r\n', 'From: a@b.test\r\n\r\nx\r\n'],
  ['a field with a space before its colon', 'From : a@b.test\r\n', 'From : a@b.test\r\n'],
  ['an empty header', '\r\nFrom here\r\n', '\r\nFrom here\r\n'],
  ['the line of a mailbox', 'From www-data Sat Nov 28 10:00:00 2026\r\nTo: x\r\n\r\n', 'To: x\r\n\r\n'],
  ['that line, quoted', '>From www-data Sat\r\nTo: x\r\n', 'To: x\r\n'],
  ['that line, with colons', 'From a@b Sat Nov 28 10:00:00 2026\r\nTo: x\r\n', 'To: x\r\n'],
  ['two of them', 'From a b\r\n>From a b\r\nTo: x\r\n', 'To: x\r\n'],
  ['nothing behind it', 'From a b\r\n', ''],
  ['text behind it', 'From a b\r\nhello\r\n', '\r\nhello\r\n'],
  ['text', 'hello world\r\nTo: x\r\n', '\r\nhello world\r\nTo: x\r\n'],
  ['one word', 'hello\r\nTo: x\r\n', '\r\nhello\r\nTo: x\r\n'],
  ['a fold of nothing', ' folded\r\nTo: x\r\n', '\r\n folded\r\nTo: x\r\n'],
  ['a name that is not ASCII', 'T\xf6: x\r\n', '\r\nT\xf6: x\r\n'],
  ['a colon alone', ': x\r\n', '\r\n: x\r\n'],
  ['a word without end', `${'x'.repeat(3000)}\r\n`, `\r\n${'x'.repeat(3000)}\r\n`],
  ['a mailbox line without end', `From ${'x'.repeat(3000)}\r\n`, `\r\nFrom ${'x'.repeat(3000)}\r\n`],
  ['an empty message', '', ''],
];

for (const [name, came, goesOn] of MESSAGES) {
  test(`a message that begins with ${name}, cut anywhere`, () => {
    const bytes = Buffer.from(came, 'latin1');
    for (const size of [bytes.length || 1, 1, 2, 7]) {
      const start = new HeaderStart();
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) pieces.push(start.take(bytes.subarray(at, at + size)));
      assert.equal(Buffer.concat(pieces).toString('latin1'), goesOn);
    }
  });
}
