import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_REPLY_LINE, MAX_REPLY_LINES, ReplyParser } from '#services/router/delivery/smtp/reply-parser.ts';
import type { Reply } from '#shared/reply.ts';

function parse(bytes: string | Buffer, pieceLength = Number.POSITIVE_INFINITY): Reply[] {
  const parser = new ReplyParser();
  const replies: Reply[] = [];
  const all = Buffer.from(bytes);
  for (let at = 0; at < all.length; at += pieceLength) {
    parser.push(all.subarray(at, at + pieceLength));
    for (let next = parser.next(); next !== undefined; next = parser.next()) replies.push(next.reply);
  }
  return replies;
}

const RUBBISH: [string, string, RegExp][] = [
  ['an empty line', '\r\n', /sent "" instead/],
  ['another protocol', 'SSH-2.0-OpenSSH_9\r\n', /"SSH-2\.0/],
  ['two digits', '22 hello\r\n', /"22 hello"/],
  ['four digits', '2200 hello\r\n', /"2200 hello"/],
  ['a code below 200', '199 no\r\n', /"199 no"/],
  ['a code above 599', '600 no\r\n', /"600 no"/],
  ['a tab behind the code', '250\tok\r\n', /"250 ok"/],
  ['digits of another script', '２５０ ok\r\n', /instead of an SMTP reply/],
  ['a terminal escape', '\x1b[2J250 ok\r\n', /" \[2J250 ok"/],
  ['lines with different codes', '250-one\r\n550-two\r\n250 three\r\n', /two codes, 250 and 550/],
  ['a last line with another code', '250-one\r\n251 two\r\n', /two codes, 250 and 251/],
  ['a line without end', `250 ${'x'.repeat(MAX_REPLY_LINE)}`, /more than 2048 bytes/],
  ['a line too long', `250 ${'x'.repeat(MAX_REPLY_LINE)}\r\n`, /more than 2048 bytes/],
  ['lines without end', '250-x\r\n'.repeat(MAX_REPLY_LINES + 1), /more than 100 lines/],
];
for (const [name, bytes, message] of RUBBISH) {
  for (const pieces of [1, 7, 1_000_000]) {
    test(`${name} is not a reply (in pieces of ${pieces})`, () => {
      assert.throws(() => parse(bytes, pieces), { code: 'peer-protocol', message });
    });
  }
}

const REPLIES: [string, string | Buffer, Reply[]][] = [
  ['nothing yet', '250 not ended', []],
  ['an unfinished reply', '250-one\r\n250-two\r\n', []],
  ['no text', '250\r\n', [{ code: 250, text: '' }]],
  ['a bare LF', '250 ok\n', [{ code: 250, text: 'ok' }]],
  ['a CR inside', '250 a\rb\r\n', [{ code: 250, text: 'a b' }]],
  ['control characters', '550 \x1b[31mred\x07\r\n', [{ code: 550, text: ' [31mred ' }]],
  ['an enhanced code', '550 5.1.1 No such user\r\n', [{ code: 550, enhanced: '5.1.1', text: 'No such user' }]],
  ['an enhanced code alone', '250 2.0.0\r\n', [{ code: 250, enhanced: '2.0.0', text: '' }]],
  ['an enhanced code of another class', '550 4.1.1 odd\r\n', [{ code: 550, text: '4.1.1 odd' }]],
  ['an address that is no enhanced code', '250 2.0.0.1 ok\r\n', [{ code: 250, text: '2.0.0.1 ok' }]],
  [
    'several lines',
    '550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\r\n',
    [{ code: 550, enhanced: '5.7.1', text: 'one two three' }],
  ],
  ['UTF-8', '550 5.1.1 Größe\r\n', [{ code: 550, enhanced: '5.1.1', text: 'Größe' }]],
  ['bytes that are no UTF-8', Buffer.from('550 Gr\xf6\xdfe\r\n', 'latin1'), [{ code: 550, text: 'Gr\ufffd\ufffde' }]],
  [
    'several replies at once',
    '250 a\r\n354 b\r\n421 c\r\n',
    [
      { code: 250, text: 'a' },
      { code: 354, text: 'b' },
      { code: 421, text: 'c' },
    ],
  ],
  ['a line at the limit', `250 ${'x'.repeat(MAX_REPLY_LINE - 6)}\r\n`, [{ code: 250, text: `${'x'.repeat(1000)}…` }]],
];
for (const [name, bytes, expected] of REPLIES) {
  for (const pieces of [1, 3, 1_000_000]) {
    test(`a reply with ${name} (in pieces of ${pieces})`, () => {
      assert.deepEqual(parse(bytes, pieces), expected);
    });
  }
}

test('what is cleared is not heard', () => {
  const parser = new ReplyParser();
  parser.push(Buffer.from('220 go\r\n250-injected\r\n250 x\r\n'));
  assert.equal(parser.next()?.reply.code, 220);
  assert.equal(parser.clear(), 21);
  assert.equal(parser.next(), undefined);
  parser.push(Buffer.from('250 real\r\n'));
  assert.deepEqual(parser.next(), { reply: { code: 250, text: 'real' }, lines: ['real'] });
});
