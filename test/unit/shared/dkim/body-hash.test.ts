import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { RelaxedBodyHash } from '#shared/dkim/body-hash.ts';
import { processorMs } from '#test/kit/processor-time.ts';

type Hasher = { update(chunk: Buffer): void; digest(encoding: 'base64'): string };
const { dkimBody } = createRequire(import.meta.url)('mailauth/lib/dkim/body') as {
  dkimBody(canonicalization: string, algorithm: string): Hasher;
};

function hash(body: Buffer, cut: (rest: number) => number = (rest) => rest): string {
  const hasher = new RelaxedBodyHash();
  for (let at = 0; at < body.length; ) {
    const size = Math.max(1, cut(body.length - at));
    hasher.update(body.subarray(at, at + size));
    at += size;
  }
  return hasher.digest();
}

const sha256 = (text: string): string => createHash('sha256').update(text, 'latin1').digest('base64');

/** Body as received, and what RFC 6376 §3.4.4 makes of it. */
const TABLE: [name: string, body: string, canonical: string][] = [
  ['empty body', '', ''],
  ['one empty line', '\r\n', ''],
  ['empty lines only', '\r\n\r\n\r\n', ''],
  ['white space only', ' \t \r\n\t\r\n  ', ''],
  ['example of RFC 6376 §3.4.5', ' C \r\nD \t E\r\n\r\n\r\n', ' C\r\nD E\r\n'],
  ['no CRLF at the end', 'text', 'text\r\n'],
  ['white space at the end, no CRLF', 'text \t', 'text\r\n'],
  ['empty lines inside stay', 'a\r\n\r\n\r\nb\r\n', 'a\r\n\r\n\r\nb\r\n'],
  ['lines of white space inside become empty', 'a\r\n \t\r\nb', 'a\r\n\r\nb\r\n'],
  ['tab alone becomes a space', 'a\tb\r\n', 'a b\r\n'],
  ['line that begins with white space', '\t a\r\n b\r\n', ' a\r\n b\r\n'],
  ['CR alone is content', 'a\rb\r\n', 'a\rb\r\n'],
  ['CR at the very end is content', 'a\r', 'a\r\r\n'],
  ['CR CR LF', 'a\r\r\n', 'a\r\r\n'],
  ['space, CR, content', 'a \rb\r\n', 'a \rb\r\n'],
  ['8-bit octets', 'gr\xfc\xdfe  da\r\n', 'gr\xfc\xdfe da\r\n'],
];

for (const [name, body, canonical] of TABLE) {
  test(`relaxed body: ${name}, whole and byte by byte`, () => {
    const bytes = Buffer.from(body, 'latin1');
    assert.equal(hash(bytes), sha256(canonical));
    assert.equal(
      hash(bytes, () => 1),
      sha256(canonical),
    );
  });
}

test('an empty body hashes as the well-known value of RFC 6376 §3.4.4', () => {
  assert.equal(hash(Buffer.alloc(0)), '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=');
});

test('random bodies in random pieces hash as mailauth hashes them', () => {
  const alphabet = ['\r\n', '\r\n', ' ', ' ', '\t', 'a', 'bc', '.', '\xe9', '=20', '\r\n\r\n', '  ', 'word '];
  for (let round = 0; round < 3000; round++) {
    let text = '';
    for (let i = Math.floor(Math.random() * 40); i > 0; i--) {
      text += alphabet[Math.floor(Math.random() * alphabet.length)];
    }
    const body = Buffer.from(text, 'latin1');
    const reference = dkimBody('relaxed', 'sha256');
    reference.update(body);
    const found = hash(body, (rest) => 1 + Math.floor(Math.random() * Math.min(rest, 9)));
    assert.equal(found, reference.digest('base64'), JSON.stringify(text));
  }
});

test('time grows with the length and not with its square', () => {
  const spaces = Buffer.alloc(4 << 20, ' ');
  const inputs = [
    Buffer.alloc(25 << 20, 'x'),
    Buffer.concat([Buffer.from('x'), Buffer.from('\r\n'.repeat(3 << 20))]),
    Buffer.concat([Buffer.from('x'), spaces, Buffer.from('y\r\n')]),
    Buffer.from(' \r\n'.repeat(1 << 20)),
    Buffer.from('a \t'.repeat(1 << 20)),
    Buffer.from('\r'.repeat(1 << 20)),
  ];
  const took = processorMs(() => {
    for (const input of inputs) hash(input, () => 16_384);
  });
  // Linear work takes well under a second here; anything quadratic takes minutes.
  assert.ok(took < 8000, `took ${took} ms`);
});
