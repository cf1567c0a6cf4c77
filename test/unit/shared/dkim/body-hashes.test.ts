import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { BodyHashes, type BodyHashKind, bodyHashFor, RELAXED, wantedBodyHashes } from '#shared/dkim/body-hashes.ts';
import { MOST_BODY_HASHES, MOST_SIGNATURES } from '#shared/mail/authenticity.ts';
import { bodyHashesOfDkimpy } from '#test/kit/dkim/verifiers.ts';
import { processorMs } from '#test/kit/processor-time.ts';
import { needs } from '#test/kit/runner/peers.ts';

const SIMPLE: BodyHashKind = { canonicalization: 'simple' };
const KINDS: BodyHashKind[] = [
  RELAXED,
  SIMPLE,
  ...[0, 1, 7, 1000].flatMap((length) => [
    { ...RELAXED, length },
    { ...SIMPLE, length },
  ]),
];

function hashes(kinds: BodyHashKind[], pieces: readonly Buffer[]) {
  const all = new BodyHashes(kinds);
  for (const piece of pieces) all.update(piece);
  return all.digest();
}

/** Bodies at the edges of the canonical forms; SMTP has no other line ends than CRLF. */
const BODIES = [
  '',
  '\r\n',
  '\r\n\r\n\r\n',
  ' \r\n\t\r\n',
  ' C \r\nD \t E\r\n\r\n\r\n',
  'text\r\n',
  'text \r\n\r\n \r\n',
  '\r\n\r\ntext\r\n\r\n\r\n',
  'a\r\n\r\n\r\nb\r\n',
  '\t a\r\n b  c\r\n',
  'gr\xfc\xdfe  da\r\n',
].map((text) => Buffer.from(text, 'latin1'));

test('every kind of body hash is that of dkimpy, however the body is split', needs('dkimverify'), async () => {
  const expected = await bodyHashesOfDkimpy(BODIES.flatMap((body) => KINDS.map((kind) => ({ body, ...kind }))));
  for (const body of BODIES) {
    const wanted = expected.splice(0, KINDS.length);
    for (let first = 0; first <= body.length; first++) {
      for (let second = first; second <= body.length; second++) {
        const pieces = [body.subarray(0, first), body.subarray(first, second), body.subarray(second)];
        const found = hashes(KINDS, pieces).map((one) => one.hash);
        assert.deepEqual(found, wanted, `${JSON.stringify(body.toString('latin1'))} split at ${first} and ${second}`);
      }
    }
  }
});

test('l= counts bytes of the canonical body, and is told beside those that there are', () => {
  const [all, one, more, none, simple] = hashes(
    [RELAXED, { ...RELAXED, length: 1 }, { ...RELAXED, length: 99 }, { ...RELAXED, length: 0 }, SIMPLE],
    [Buffer.from('a  b\r\n\r\n')],
  );
  assert.deepEqual([all?.hashed, all?.total], [5, 5]);
  assert.deepEqual([one?.hashed, one?.total], [1, 5]);
  assert.deepEqual([more?.hashed, more?.total, more?.hash], [5, 5, all?.hash]);
  assert.deepEqual([none?.hashed, none?.hash], [0, '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=']);
  assert.equal(simple?.total, 6);
  // RFC 6376 §3.4.3: an empty body is one CRLF; §3.4.4: it is nothing.
  assert.deepEqual(
    hashes([SIMPLE, RELAXED], []).map(({ hash, total }) => [hash, total]),
    [
      ['frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=', 2],
      ['47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=', 0],
    ],
  );
});

test('a kind that is named twice is told twice', () => {
  const found = hashes([RELAXED, SIMPLE, RELAXED], [Buffer.from('a\r\n')]);
  assert.deepEqual(found[2], found[0]);
  assert.equal(found[2]?.total, 3);
});

type Hasher = { update(chunk: Buffer): void; digest(encoding: 'base64'): string };
const { dkimBody } = createRequire(import.meta.url)('mailauth/lib/dkim/body') as {
  dkimBody(canonicalization: string, algorithm: string, length?: number): Hasher;
};

test('random bodies in random pieces hash as mailauth hashes them', () => {
  const alphabet = ['\r\n', '\r\n', ' ', ' ', '\t', 'a', 'bc', '.', '\xe9', '=20', '\r\n\r\n', '  ', 'word '];
  for (let round = 0; round < 1000; round++) {
    const parts = Array.from({ length: Math.floor(Math.random() * 40) }, () => {
      return Buffer.from(alphabet[Math.floor(Math.random() * alphabet.length)] ?? '', 'latin1');
    });
    const body = Buffer.concat(parts);
    const found = hashes(KINDS, parts);
    for (const [at, { canonicalization, length }] of KINDS.entries()) {
      const reference = dkimBody(canonicalization, 'sha256', length);
      reference.update(body);
      assert.equal(found[at]?.hash, reference.digest('base64'), `${JSON.stringify(body.toString('latin1'))} ${at}`);
    }
  }
});

test('time grows with the length and not with its square, in simple form too', () => {
  const lines = Buffer.from('\r\n'.repeat(8192));
  const all = new BodyHashes([SIMPLE]);
  const took = processorMs(() => {
    for (let i = 0; i < 2000; i++) all.update(lines);
    all.update(Buffer.from('x'));
    const [found] = all.digest();
    assert.equal(found?.total, 2000 * lines.length + 3);
  });
  assert.ok(took < 4000, `took ${took} ms`);
});

const signature = (tags: string, name = 'DKIM-Signature') => `${name}: v=1; a=rsa-sha256; b=x; ${tags}\r\n`;
const sealed = (tags: string) => signature(tags, 'ARC-Message-Signature');

const HEADERS: [name: string, header: string, wanted: BodyHashKind[]][] = [
  ['c= with both halves', signature('c=simple/relaxed'), [RELAXED]],
  ['c= with one half: the body is simple', signature('c=relaxed'), [SIMPLE]],
  ['no c=', signature('s=a'), [SIMPLE]],
  ['an empty second half', signature('c=relaxed/'), [SIMPLE]],
  ['upper case and white space', signature('c = Relaxed/ RELAXED '), [RELAXED]],
  ['a folded tag', signature('c=\r\n\trelaxed/relaxed;\r\n l=\r\n 5'), [{ ...RELAXED, length: 5 }]],
  ['a folded tag of the next field', `${signature('s=a')}X: y\r\n ;c=relaxed/relaxed\r\n`, [SIMPLE]],
  ['l= of zero', signature('l=0'), [{ ...SIMPLE, length: 0 }]],
  ['l= of 76 digits', signature(`l=${'9'.repeat(76)}`), [{ ...SIMPLE, length: Number.MAX_SAFE_INTEGER }]],
  ['l= that is no number', signature('l=-1'), []],
  ['an unknown canonicalization', signature('c=relaxed/nowsp'), []],
  ['SHA-1', 'DKIM-Signature: a=rsa-sha1; c=relaxed/relaxed\r\n', []],
  ['Ed25519', 'DKIM-Signature: a=ed25519-sha256\r\n', [SIMPLE]],
  ['a name in lower case, white space before its colon', 'dkim-signature \t:a=rsa-sha256\r\n', [SIMPLE]],
  ['the name inside another field', `X: y\r\n ${signature('s=a')}Y: DKIM-Signature: a=rsa-sha256\r\n`, []],
  ['the same kind twice', signature('s=a') + signature('s=b'), [SIMPLE]],
  ['no line end', 'DKIM-Signature: a=rsa-sha256; c=relaxed/relaxed', [RELAXED]],
  ['an empty header', '', []],
  [
    'only the newest ARC-Message-Signature, before others',
    `${signature('l=1')}${sealed('i=2; c=relaxed/relaxed')}${sealed('i=10; l=10')}${sealed('i=9; l=9')}`,
    [
      { ...SIMPLE, length: 10 },
      { ...SIMPLE, length: 1 },
    ],
  ],
];

for (const [name, header, wanted] of HEADERS) {
  test(`wanted body hashes: ${name}`, () => {
    for (const whole of [header, `From: a@b.test\r\n${header}`]) {
      assert.deepEqual(wantedBodyHashes(Buffer.from(whole, 'latin1')), wanted);
    }
  });
}

test('no message asks for more body hashes, or has more signatures looked at, than allowed', () => {
  const kinds = Array.from({ length: 300 }, (_, at) => signature(`l=${at}`)).join('');
  assert.deepEqual(
    wantedBodyHashes(Buffer.from(kinds + sealed('i=1; c=relaxed/relaxed'))),
    [RELAXED, ...[0, 1, 2, 3, 4].map((length) => ({ ...SIMPLE, length }))].slice(0, MOST_BODY_HASHES),
  );
  const late = signature('s=a').repeat(MOST_SIGNATURES) + signature('c=relaxed/relaxed');
  assert.deepEqual(wantedBodyHashes(Buffer.from(late)), [SIMPLE]);
});

test('a header of 2 MB is searched in a moment, whatever it holds', () => {
  const shapes = [signature('s=a'), sealed('i=1'), 'a:\r\n', 'DKIM-Signature:\r\n ', 'DKIM-Signature', ';a'];
  for (const shape of [...shapes, `${signature('s=a').trim()};a`]) {
    const header = Buffer.from(`DKIM-Signature: ${shape.repeat((2 << 20) / shape.length)}`);
    const took = processorMs(() => wantedBodyHashes(header));
    assert.ok(took < 500, `${JSON.stringify(shape)}: ${took} ms`);
  }
});

test('a hash is found by what a signature asks for', () => {
  const found = hashes([RELAXED, { ...RELAXED, length: 3 }, { ...SIMPLE, length: Number.MAX_SAFE_INTEGER }], []);
  assert.equal(bodyHashFor(found, 'relaxed'), found[0]);
  assert.equal(bodyHashFor(found, 'relaxed', 3), found[1]);
  assert.equal(bodyHashFor(found, 'simple', 1e75), found[2]);
  assert.equal(bodyHashFor(found, 'simple'), undefined);
  assert.equal(bodyHashFor(found, 'relaxed', 4), undefined);
});
