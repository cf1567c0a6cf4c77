import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { describeNeks, findNek, generateNek, parseNek, parseNeks } from '#shared/dkim/nek.ts';
import { SealpostError } from '#shared/errors.ts';

const KEY = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';

const BAD: [string, string, RegExp][] = [
  ['empty', '', /not a NEK/],
  ['another kind of file', '-----BEGIN PRIVATE KEY-----', /not a NEK/],
  ['a line before it', `\nsealpost-nek:edge:${KEY}`, /not a NEK/],
  ['two line breaks', `sealpost-nek:edge:${KEY}\n\n`, /not a NEK/],
  ['two keys', `sealpost-nek:edge:${KEY}\nsealpost-nek:edge:${KEY}\n`, /not a NEK/],
  ['no name', `sealpost-nek::${KEY}`, /"" is not a name/],
  ['a name with a slash', `sealpost-nek:a/b:${KEY}`, /"a\/b" is not a name/],
  ['no key', 'sealpost-nek:edge:', /0 bytes instead of 32/],
  ['16 bytes', `sealpost-nek:edge:${Buffer.alloc(16).toString('base64')}`, /16 bytes instead of 32/],
  ['33 bytes', `sealpost-nek:edge:${Buffer.alloc(33).toString('base64')}`, /33 bytes instead of 32/],
  ['no padding', `sealpost-nek:edge:${KEY.slice(0, -1)}`, /not base64/],
  ['a character too few', `sealpost-nek:edge:${KEY.slice(1)}`, /not base64|bytes/],
  ['stray bits at the end', `sealpost-nek:edge:${KEY.slice(0, -2)}9=`, /not base64/],
  ['white space inside', `sealpost-nek:edge:${KEY.slice(0, 8)} ${KEY.slice(8)}`, /not base64/],
  ['the URL alphabet', `sealpost-nek:edge:_-${KEY.slice(2)}`, /not base64/],
];

for (const [what, text, message] of BAD) {
  test(`a NEK is refused: ${what}`, () => {
    assert.throws(
      () => parseNek(text),
      (error) =>
        error instanceof SealpostError &&
        error.code === 'nek-invalid' &&
        message.test(error.message) &&
        !error.message.includes(KEY.slice(4, 30)),
    );
  });
}

test('a NEK is read, with or without the final line break, and names itself by fingerprint', () => {
  for (const end of ['', '\n', '\r\n']) {
    const nek = parseNek(`sealpost-nek:edge:${KEY}${end}`);
    assert.equal(nek.name, 'edge');
    // sha256sum of the bytes 00 to 1f
    assert.equal(nek.fingerprint, '630dcd2966c43366');
    assert.deepEqual([...nek.key.export()], [...Array(32).keys()]);
  }
});

test('a generated NEK reads back, and no two are the same', () => {
  const [a, b] = [parseNek(generateNek('edge')), parseNek(generateNek('edge'))];
  assert.equal(a.name, 'edge');
  assert.notEqual(a.fingerprint, b.fingerprint);
  assert.throws(() => generateNek('my key'), /is not a name/);
});

test('nothing shows the key', () => {
  const nek = parseNek(`sealpost-nek:edge:${KEY}`);
  const shown = `${JSON.stringify(nek)} ${inspect(nek, { depth: 9, showHidden: true })}`;
  assert.doesNotMatch(shown, /AAECAwQF|00010203|0, 1, 2, 3|00 01 02 03/);
});

const OTHER = Buffer.alloc(32, 7).toString('base64');
const line = (name: string, key = KEY): string => `sealpost-nek:${name}:${key}`;

test('a text of several NEKs is read in its order; blank lines and CRLF are allowed', () => {
  for (const text of [
    `${line('edge')}\n${line('new', OTHER)}`,
    `\n  \r\n${line('edge')}\r\n\r\n${line('new', OTHER)}\r\n\n`,
  ]) {
    const neks = parseNeks(text);
    assert.equal(describeNeks(neks), `edge (630dcd2966c43366), new (${neks[1]?.fingerprint})`);
    assert.equal(findNek(neks, '630dcd2966c43366'), neks[0]);
    assert.equal(findNek(neks, 'edge'), undefined);
  }
  assert.equal(describeNeks([]), 'none');
});

const BAD_TEXTS: [string, string, RegExp][] = [
  ['nothing', '', /there is no NEK/],
  ['blank lines alone', '\n \n\t\n', /there is no NEK/],
  ['a comment', `${line('edge')}\n# the new one\n`, /^line 2: not a NEK/],
  ['two in one line', `${line('edge')} ${line('new', OTHER)}`, /^line 1: not a NEK/],
  ['a bad name after a blank line', `\n${line('a b')}`, /^line 2: "a b" is not a name/],
  ['a cut key', `${line('edge')}\n${line('new', OTHER.slice(0, 20))}`, /^line 2: NEK new has 15 bytes/],
  ['one twice', `${line('edge')}\n\n${line('edge')}`, /^line 3 has the key of NEK edge of line 1/],
  ['one key under two names', `${line('edge')}\n${line('new')}`, /^line 2 has the key of NEK edge of line 1/],
  ['two keys of one name', `${line('edge')}\n${line('edge', OTHER)}`, /^line 2 has another NEK of the name edge/],
];

for (const [what, text, message] of BAD_TEXTS) {
  test(`a text of NEKs is refused: ${what}`, () => {
    assert.throws(
      () => parseNeks(text),
      (error) =>
        error instanceof SealpostError &&
        error.code === 'nek-invalid' &&
        message.test(error.message) &&
        ![KEY, OTHER].some((key) => error.message.includes(key.slice(4, 20))),
    );
  });
}
