import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DotStuffer } from '#services/router/delivery/smtp/transaction/dot-stuffing.ts';
import { seededRandom } from '#test/kit/random.ts';

function stuff(pieces: readonly string[]): string {
  const stuffer = new DotStuffer();
  const out = pieces.map((piece) => stuffer.push(Buffer.from(piece, 'latin1')));
  return Buffer.concat([...out, stuffer.end()]).toString('latin1');
}

const TABLE: [string, string, string][] = [
  ['nothing', '', '.\r\n'],
  ['a lone dot', '.', '..\r\n.\r\n'],
  ['a dot line', '.\r\n', '..\r\n.\r\n'],
  ['the end of a message', 'a\r\n.\r\nb\r\n', 'a\r\n..\r\nb\r\n.\r\n'],
  ['dots everywhere', '.\r\n..\r\n...\r\n', '..\r\n...\r\n....\r\n.\r\n'],
  ['a dot inside a line', 'a.b\r\n', 'a.b\r\n.\r\n'],
  ['no line end', 'a', 'a\r\n.\r\n'],
  ['a bare LF at the end', 'a\n', 'a\n\r\n.\r\n'],
  ['a bare CR at the end', 'a\r', 'a\r\r\n.\r\n'],
  ['LF CR at the end', 'a\n\r', 'a\n\r\r\n.\r\n'],
  ['a dot after a bare LF', 'a\n.\nb\r\n', 'a\n..\nb\r\n.\r\n'],
  ['a dot after a bare CR', 'a\r.\rb\r\n', 'a\r..\rb\r\n.\r\n'],
  ['LF dot CRLF', 'a\n.\r\nb\r\n', 'a\n..\r\nb\r\n.\r\n'],
];
for (const [name, message, wire] of TABLE) {
  test(`${name} is stuffed, however it is cut`, () => {
    assert.equal(stuff([message]), wire);
    assert.equal(stuff([...message]), wire);
    for (let cut = 0; cut <= message.length; cut++) {
      assert.equal(stuff([message.slice(0, cut), '', message.slice(cut)]), wire);
    }
  });
}

test('a NUL is refused', () => {
  assert.throws(() => stuff(['a\r\n\0.\r\n']), { code: 'message-damaged' });
});

test('memory of the store is never written to', () => {
  const stored = Buffer.from('.a\r\n.b\r\n');
  new DotStuffer().push(stored);
  assert.equal(stored.toString(), '.a\r\n.b\r\n');
});

test('bytes that are not a Buffer are accepted as they are', () => {
  const all = new Uint8Array(Buffer.from('xx.a\r\n'));
  assert.equal(new DotStuffer().push(all.subarray(2)).toString(), '..a\r\n');
});

/** How receivers find the end of a message: what ends a line before the dot, and what after it. */
const RECEIVERS: [string, RegExp][] = [
  ['a strict one', /(?<=^|\r\n)\.\r\n/g],
  ['one that takes LF', /(?<=^|\n)\.\r?\n/g],
  ['one that takes CR', /(?<=^|\r\n|\r)\.(?:\r\n|\r)/g],
  ['one that takes any of them', /(?<=^|\r|\n)\.(?:\r\n|\r|\n)/g],
  ['one that takes LF before and CR behind', /(?<=^|\n|\r)\.\r/g],
];

test('one message in is one message out, whatever the bytes and the receiver', () => {
  const random = seededRandom(20);
  const alphabet = ['.', '\r', '\n', '\r\n', '\r\n.\r\n', 'a', '\x80', '\xff'];
  const pick = () => alphabet[Math.floor(random() * alphabet.length)] ?? '';
  for (let round = 0; round < 20_000; round++) {
    const pieces = Array.from({ length: Math.floor(random() * 6) }, () =>
      Array.from({ length: Math.floor(random() * 8) }, pick).join(''),
    );
    const message = pieces.join('');
    const wire = stuff(pieces);
    assert.ok(wire.endsWith('.\r\n'));
    for (const [name, end] of RECEIVERS) {
      const ends = [...wire.matchAll(end)].map((match) => match.index);
      assert.deepEqual(ends, [wire.length - 3], `${name} sees another end in ${JSON.stringify(wire)}`);
    }
    assert.equal(wire, stuff([message]), `cut into ${JSON.stringify(pieces)}`);
    // A proper message, in which every CR and LF belongs to a CRLF, comes out as it went in (RFC 5321 §4.5.2).
    if (/^(?:\r\n|[^\r\n])*$/.test(message)) {
      const whole = message === '' || message.endsWith('\r\n') ? message : `${message}\r\n`;
      assert.equal(wire.slice(0, -3).replace(/(?<=^|\r\n)\./g, ''), whole);
    }
  }
});
