import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isReport, quotedHeader } from '#services/router/sent-reports/dmarc/failures/quoted-header.ts';
import { processorMs } from '#test/kit/processor-time.ts';

const quoted = (header: string, recipients: string[] = ['bob@here.example']): string =>
  quotedHeader(Buffer.from(header, 'latin1'), recipients).toString('latin1');

test('fields that tell where a message is from are shown, those that tell to whom are not', () => {
  const header = [
    'Received: from x (y [192.0.2.1]) by z',
    '\tfor <alias@here.example>; Mon, 1 Jan 2024 00:00:00 +0000',
    'Received: by w for',
    ' bob@here.example; Mon, 1 Jan 2024 00:00:00 +0000',
    'From: <a@one.example>',
    'To: Bob <bob@here.example>',
    'Cc: carol@here.example',
    'Delivered-To: bob@here.example',
    'X-Secret: s',
    'In-Reply-To: <1@here.example>',
    'Subject: Hello Bob@HERE.example. Yes',
    'List-Id: <x.lists.example>',
    '',
    'Body',
    '',
  ].join('\r\n');
  assert.equal(
    quoted(header),
    [
      'Received: from x (y [192.0.2.1]) by z',
      '\tfor redacted; Mon, 1 Jan 2024 00:00:00 +0000',
      'Received: by w for redacted; Mon, 1 Jan 2024 00:00:00 +0000',
      'From: <a@one.example>',
      'Subject: Hello redacted@HERE.example. Yes',
      'List-Id: <x.lists.example>',
      '',
    ].join('\r\n'),
  );
});

test('a recipient is redacted wherever its address stands', () => {
  const texts = [
    '<bob@here.example>',
    "'bob@here.example'",
    'rcpt=bob@here.example',
    '"bob@here.example",',
    'bob@here.example=',
  ];
  for (const text of texts) {
    const line = quoted(`Authentication-Results: x; ${text}\r\n`);
    assert.match(line, /redacted@here\.example/, text);
    assert.doesNotMatch(line, /bob/, text);
  }
  assert.equal(quoted('From: jimbob@here.example\r\n'), 'From: jimbob@here.example\r\n');
  const utf8 = Buffer.from('Subject: jürgen@here.example\r\n');
  assert.doesNotMatch(quotedHeader(utf8, ['jürgen@here.example']).toString(), /rgen/);
});

test('nothing in a header ends it, and a field that is cut off is not shown', () => {
  assert.equal(quoted('Subject: a\n\nb\rc\0d\r\nFrom: x@y.te'), 'Subject: a  b c d\r\n');
});

test('a header is shown up to a limit, and hostile ones are read fast', () => {
  const long = `From: <a@one.example>\r\n${`Received: ${'x'.repeat(900)}\r\n`.repeat(60)}Date: d\r\n`;
  const shown = quoted(long);
  assert.ok(shown.length <= 10 * 1024, String(shown.length));
  assert.match(shown, /^From: <a@one\.example>\r\n/);
  assert.match(shown, /Date: d\r\n$/);
  for (const piece of ['a', '@', ' ', '=', 'for ', 'for <', '\r', '<@', "'"]) {
    const took = processorMs(() => quoted(`Received: ${piece.repeat((64 * 1024) / piece.length)}\r\n`));
    assert.ok(took < 1000, `${JSON.stringify(piece)}: ${took} ms`);
  }
});

test('reports are known by their type', () => {
  const types: [string, boolean][] = [
    ['multipart/report; report-type=feedback-report; boundary=x', true],
    ['Multipart/Report;\r\n report-type=delivery-status', true],
    ['multipart/mixed; x=multipart/report', false],
  ];
  for (const [type, expected] of types)
    assert.equal(isReport(Buffer.from(`Content-Type: ${type}\r\n`)), expected, type);
  assert.equal(isReport(Buffer.alloc(0)), false);
});
