import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldValue, foldField, messageIdOf, rfc5322Date, splitHeader } from '#shared/mail/header.ts';

test('a header splits into fields without losing a byte', () => {
  const table: [string, string[]][] = [
    ['', []],
    ['\r\n', []],
    ['From: a\r\n\r\n', ['from']],
    ['From: a\r\n b\r\n\tc\r\nTo: d\r\n\r\n', ['from', 'to']],
    ['Subject : odd space\r\n\r\n', ['subject']],
    ['no colon\r\nFrom: a\r\n\r\n', ['', 'from']],
    ['From: a\r\nno colon\r\nTo: b\r\n\r\n', ['from', 'to']],
    ['From: a\r\n   \r\nTo: b\r\n\r\n', ['from', 'to']],
    ['Sübject: x\r\n\r\n', ['']],
    ['From: no end', ['from']],
  ];
  for (const [block, names] of table) {
    const fields = splitHeader(block);
    assert.deepEqual(
      fields.map((f) => f.name),
      names,
      JSON.stringify(block),
    );
    assert.equal(fields.map((f) => f.raw).join(''), block.replace(/(^|(?<=\r\n))\r\n$/, ''), JSON.stringify(block));
  }
  const [folded] = splitHeader('X:  one\r\n two \r\n\r\n');
  assert.equal(folded === undefined ? '' : fieldValue(folded), 'one two');
});

test('folded fields keep their words and stay within 78 characters', () => {
  const words = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ');
  const field = foldField('X-Long', words);
  for (const line of field.split('\r\n')) assert.ok(line.length <= 78, line);
  const [parsed] = splitHeader(field);
  assert.equal(parsed && fieldValue(parsed).replaceAll('\t', ' '), words);
  assert.equal(foldField('X', 'y'.repeat(200)), `X: ${'y'.repeat(200)}\r\n`);
  assert.equal(foldField('X', `y${' '.repeat(200)}`), 'X: y\r\n');
});

for (const [time, expected] of [
  [-1, 'Wed, 31 Dec 1969 23:59:59 +0000'],
  [0, 'Thu, 01 Jan 1970 00:00:00 +0000'],
  [new Date('2024-02-29T23:59:59.999Z'), 'Thu, 29 Feb 2024 23:59:59 +0000'],
  [new Date('2026-07-01T00:00:00+02:00'), 'Tue, 30 Jun 2026 22:00:00 +0000'],
] as const) {
  test(`a date-time: ${expected}`, () => assert.equal(rfc5322Date(time), expected));
}

test('the Message-ID of a header', () => {
  const rows: [string, string | undefined][] = [
    ['Subject: x\r\nMESSAGE-ID:\r\n <1@mail.example>\r\n\r\n', '<1@mail.example>'],
    ['Message-Id : <a b@c>\r\n', '<a b@c>'],
    ['X-Message-ID: <1@mail.example>\r\n', undefined],
    ['Subject: x\r\n Message-ID: <1@mail.example>\r\n', undefined],
    ['Message-ID: 1@mail.example\r\n', undefined],
    [`Message-ID: <${'x'.repeat(901)}>\r\n`, undefined],
    ['', undefined],
  ];
  for (const [header, id] of rows) assert.equal(messageIdOf(header), id, JSON.stringify(header));
});
