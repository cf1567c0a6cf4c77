import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_REPLY_BYTES, type PeerReply, ReplyParser } from '#services/router/delivery/smtp/reply-parser.ts';
import type { Reply } from '#shared/mail/reply.ts';

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
  ['another protocol', 'SSH-2.0-OpenSSH_9\r\n', /"SSH-2\.0/],
  ['two digits', '22 hello\r\n', /"22 hello"/],
  ['four digits', '2200 hello\r\n', /"2200 hello"/],
  ['a code below 200', '199 no\r\n', /"199 no"/],
  ['a code above 599', '600 no\r\n', /"600 no"/],
  ['digits of another script', '２５０ ok\r\n', /instead of an SMTP reply/],
  ['a terminal escape', '\x1b[2J250 ok\r\n', /" \[2J250 ok"/],
  ['a line without a code between lines with one', '250-one\r\ntwo\r\n250 three\r\n', /"two"/],
  ['a line without end and without a code', 'x'.repeat(MAX_REPLY_BYTES + 1), /"x{200}…" instead/],
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
  ['an empty line before it', '\r\n\n250 ok\r\n', [{ code: 250, text: 'ok' }]],
  ['empty lines in it', '250-a\r\n\r\n250 b\r\n\r\n', [{ code: 250, text: 'a b' }]],
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
  ['a tab behind the code', '250\tok\r\n', [{ code: 250, text: 'ok' }]],
  [
    'a long line',
    `250 2.0.0 ${'x'.repeat(60_000)}\r\n`,
    [{ code: 250, enhanced: '2.0.0', text: `${'x'.repeat(1000)}…` }],
  ],
  ['many lines', `${'250-x\r\n'.repeat(5000)}250 y\r\n`, [{ code: 250, text: `${'x '.repeat(500)}…` }]],
  [
    'lines with different codes',
    '220-peer ESMTP\r\n521 5.7.1 blocked by list.example\r\n',
    [{ code: 521, enhanced: '5.7.1', text: 'peer ESMTP blocked by list.example' }],
  ],
];
for (const [name, bytes, expected] of REPLIES) {
  for (const pieces of [1, 3, 1_000_000]) {
    test(`a reply with ${name} (in pieces of ${pieces})`, () => {
      assert.deepEqual(parse(bytes, pieces), expected);
    });
  }
}

test('a line of 64 KB in single bytes is read in linear time', () => {
  const spentMs = (bytes: number): number => {
    const parser = new ReplyParser();
    const x = Buffer.from('x');
    // Of the processor, which a busy machine does not change.
    const began = process.cpuUsage();
    for (let i = 0; i < 20; i++) {
      parser.push(Buffer.from('250 '));
      for (let n = 0; n < bytes; n++) {
        parser.push(x);
        assert.equal(parser.next(), undefined);
      }
      parser.push(Buffer.from('\r\n'));
      assert.equal(parser.next()?.reply.code, 250);
    }
    return process.cpuUsage(began).user / 1000;
  };
  spentMs(4000);
  assert.ok(spentMs(60_000) < 40 * Math.max(spentMs(6000), 1));
});

test('what is cleared is not heard', () => {
  const parser = new ReplyParser();
  parser.push(Buffer.from('220 go\r\n250-injected\r\n250 x\r\n'));
  assert.equal(parser.next()?.reply.code, 220);
  assert.equal(parser.clear(), 21);
  assert.equal(parser.next(), undefined);
  parser.push(Buffer.from('250 real\r\n'));
  assert.deepEqual(parser.next(), { reply: { code: 250, text: 'real' }, lines: ['real'] });
});

for (const [name, bytes, code] of [
  ['a line', `554 5.7.1 ${'x'.repeat(MAX_REPLY_BYTES)}`, 554],
  ['a line that ends too late', `554 5.7.1 ${'x'.repeat(MAX_REPLY_BYTES)}\r\n`, 554],
  ['lines', '250-x\r\n'.repeat(MAX_REPLY_BYTES / 7 + 1), 250],
] as const) {
  test(`${name} without end: the reply is cut, and its code counts`, () => {
    for (const pieceLength of [1000, Number.POSITIVE_INFINITY]) {
      const parser = new ReplyParser();
      let heard: PeerReply | undefined;
      for (let at = 0; at < bytes.length && heard === undefined; at += pieceLength) {
        parser.push(Buffer.from(bytes.slice(at, at + pieceLength)));
        heard = parser.next();
      }
      assert.equal(heard?.reply.code, code);
      assert.equal(heard?.cut, true);
      assert.ok((heard?.reply.text.length ?? 0) <= 1001);
    }
  });
}

for (const [name, bytes, expected] of [
  ['nothing', '', undefined],
  ['two digits', '25', undefined],
  ['a code', '250', { code: 250, text: '' }],
  ['a line without its end', '550 5.1.1 nobo', { code: 550, enhanced: '5.1.1', text: 'nobo' }],
  ['a line, and a part of the next one', '250-one\r\n25', { code: 250, text: 'one' }],
  ['a line, and the next one without its end', '250-one\r\n250-two', { code: 250, text: 'one two' }],
] as const) {
  test(`the last words of a peer that closes after ${name}`, () => {
    const parser = new ReplyParser();
    parser.push(Buffer.from(bytes));
    assert.equal(parser.next(), undefined);
    assert.deepEqual(parser.last()?.reply, expected);
    assert.equal(parser.last(), undefined);
  });
}
