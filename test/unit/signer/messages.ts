/**
 * Messages that signers and verifiers have got wrong. Header blocks and bodies are 'latin1' text: one character a byte.
 */
export type SampleMessage = { name: string; header: string; body: string };

const utf8 = (text: string): string => Buffer.from(text).toString('latin1');
const crlf = (...lines: string[]): string => `${lines.join('\r\n')}\r\n`;

const PLAIN = [
  'From: Alice <alice@example.com>',
  'To: bob@example.org',
  'Cc: carol@example.org',
  'Subject: hello',
  'Date: Mon, 1 Jan 2024 10:00:00 +0000',
  'Message-ID: <1@example.com>',
];
const MIME = ['MIME-Version: 1.0', 'Content-Type: text/plain; charset=utf-8'];
const without = (name: string): string[] => PLAIN.filter((l) => !l.startsWith(`${name}:`));

export const MESSAGES: SampleMessage[] = [
  { name: 'only From', header: crlf('From: alice@example.com'), body: 'x\r\n' },
  { name: 'no Subject', header: crlf(...without('Subject')), body: 'x\r\n' },
  { name: 'no Date, To, Message-ID', header: crlf('From: alice@example.com', 'Subject: x'), body: 'x\r\n' },
  { name: 'empty Subject', header: crlf(...without('Subject'), 'Subject:'), body: 'x\r\n' },
  { name: 'Subject of white space', header: crlf(...without('Subject'), 'Subject: \t  '), body: 'x\r\n' },
  {
    name: 'no space after the colon',
    header: crlf('From:alice@example.com', 'Subject:x', 'To:bob@example.org'),
    body: '',
  },
  {
    name: 'white space before the colon',
    header: crlf('From : alice@example.com', 'Subject \t: x', 'To: b@example.org'),
    body: 'x\r\n',
  },
  {
    name: 'names in odd case',
    header: crlf('fROM: alice@example.com', 'SUBJECT: x', 'message-id: <2@example.com>'),
    body: 'x',
  },
  {
    name: 'folded fields, tabs and spaces',
    header: crlf(
      'From:\r\n  Alice\r\n\t<alice@example.com>',
      'To: bob@example.org,\r\n        carol@example.org,\r\n\t \tdave@example.org  ',
      'Subject: a  b\t\tc \t',
      'References: <1@example.com>\r\n <2@example.com>\r\n <3@example.com>',
    ),
    body: 'x\r\n',
  },
  {
    name: 'a fold of white space alone',
    header: crlf('From: alice@example.com', 'Subject: a\r\n \t\r\n b', 'X-Other: y'),
    body: 'x\r\n',
  },
  {
    name: 'the same field several times',
    header: crlf(
      ...PLAIN,
      'Resent-To: one@example.org',
      'Resent-From: alice@example.com',
      'Resent-To: two@example.org',
      'List-Id: <a.example.com>',
      'Subject: hello again',
      'Resent-To: three@example.org',
    ),
    body: 'x\r\n',
  },
  {
    name: 'fields that are not signed',
    header: crlf(
      'Return-Path: <alice@example.com>',
      'Received: from a by b;\r\n\tMon, 1 Jan 2024 10:00:00 +0000',
      'DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x; h=From; bh=AAAA; b=AAAA',
      'Authentication-Results: mx.example.com; none',
      ...PLAIN,
    ),
    body: 'x\r\n',
  },
  {
    name: 'UTF-8 in the header',
    header: crlf(
      utf8('From: "Älice à" <alice@example.com>'),
      utf8('Subject: 你好 à'),
      utf8('To: \u00a0bob@example.org'),
    ),
    body: 'x\r\n',
  },
  {
    name: 'ISO 8859-1 in the header',
    header: crlf(...without('Subject'), 'Subject: \xa0caf\xe9\xa0'),
    body: 'caf\xe9\r\n',
  },
  { name: 'empty body', header: crlf(...PLAIN), body: '' },
  { name: 'body of empty lines', header: crlf(...PLAIN), body: '\r\n\r\n\r\n' },
  { name: 'body with white space at line ends', header: crlf(...PLAIN), body: 'a  b \t\r\n \r\n\t\r\n' },
  { name: 'body without a final line end', header: crlf(...PLAIN), body: 'a\r\nb' },
  {
    name: '8-bit body',
    header: crlf(...PLAIN, ...MIME, 'Content-Transfer-Encoding: 8bit'),
    body: utf8('Grüße aus Köln\r\n你好\r\n'),
  },
  {
    name: 'base64 body',
    header: crlf(...PLAIN, ...MIME, 'Content-Transfer-Encoding: base64'),
    body: crlf(
      ...(Buffer.from('Sealpost '.repeat(500))
        .toString('base64')
        .match(/.{1,76}/g) ?? []),
    ),
  },
  {
    name: 'long line in the header',
    header: crlf(...PLAIN, `References: ${'<a@example.com> '.repeat(60)}`),
    body: 'x\r\n',
  },
];

export const LARGE: SampleMessage = {
  name: '10 MB',
  header: crlf(...PLAIN),
  body: 'The quick brown fox  jumps over the lazy dog, again and again. \r\n'.repeat(160_000),
};

export function bytesOf(message: SampleMessage, signatures = ''): Buffer {
  return Buffer.from(`${signatures}${message.header}\r\n${message.body}`, 'latin1');
}
