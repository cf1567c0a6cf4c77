import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, escapeJson, excerpt, oneLine, printable, UNPRINTABLE } from '#shared/text.ts';

for (const [what, given, expected] of [
  ['a lone high surrogate', 'a\ud83db', 'a?b'],
  ['a lone low surrogate at the end', 'a\udc00', 'a?'],
  ['an override of the reading direction', 'user\u202egpj.exe', 'user?gpj.exe'],
  ['an isolate of the reading direction', 'a\u2067b\u2069', 'a?b?'],
  ['a line separator', 'a\u2028b', 'a?b'],
  ['a paragraph separator', 'a\u2029b', 'a?b'],
  ['a next line (C1)', 'a\u0085b', 'a?b'],
  ['a control sequence introducer of one character (C1)', '\x9b31m', '?31m'],
  ['a control sequence', '\x1b[2J\x1b]0;title\x07', '?[2J?]0;title?'],
  ['a header field that slipped in', 'x\r\nBcc: eve@evil.test\r\n\r\nbody', 'x??Bcc: eve@evil.test????body'],
  ['a bare CR', 'a\rb', 'a?b'],
  ['a NUL', 'a\x00b', 'a?b'],
  ['a tab', 'a\tb', 'a?b'],
  ['a DEL', 'a\x7fb', 'a?b'],
  ['invisible characters', 'pay\u200bpal\u2060\ufeff\u{e0041}.test', 'pay?pal???.test'],
] as const) {
  test(`unprintable: ${what}`, () => {
    assert.equal(printable(given), expected);
    assert.equal(oneLine(given, 256), expected.replaceAll('?', ' '));
    assert.match(given, UNPRINTABLE);
  });
}

for (const text of [
  '',
  '  two  spaces ',
  'grüße 日本 👋',
  'e\u0301',
  'می\u200cخواهم',
  '👩\u200d🚀',
  '\ufffd',
  '\u00a0',
]) {
  test(`legitimate text stays as it is: "${text}"`, () => {
    assert.equal(printable(text), text);
    assert.equal(oneLine(text, 256), text);
  });
}

for (const [given, longest, expected] of [
  ['ab👋', 3, 'ab…'],
  ['a👋b', 3, 'a👋…'],
  ['abcd', 3, 'abc…'],
  ['abc', 3, 'abc'],
  ['', 0, ''],
] as const) {
  test(`"${given}" in ${longest} characters`, () => {
    assert.equal(cut(given, longest), expected);
    assert.equal(printable(given, longest), expected);
    assert.equal(oneLine(given, longest), expected);
  });
}

test('words are cut where no length is given', () => {
  assert.equal(printable('x'.repeat(100_000)), `${'x'.repeat(256)}…`);
});

for (const [given, expected] of [
  ['p=\xff\x00', '"p=??"'],
  ['v=DKIM1', '"v=DKIM1"'],
  ['v=DKIM1; p=x', '"v=DKIM1;…"'],
] as const) {
  test(`of a record is shown: ${expected}`, () => assert.equal(excerpt(given, 8), expected));
}

test('JSON with what is unprintable escaped is the same value, and steers no terminal', () => {
  const value = {
    'a\u202eb': 'x\u2066y\u200e\u0085\x9b31m\x7f\u{e0041}\u2028',
    text: ['grüße 日本 👋', 'می\u200cخواهم', '👩\u200d🚀', '"\\u202e"'],
  };
  for (const indent of [0, 2]) {
    const json = escapeJson(JSON.stringify(value, null, indent));
    assert.deepEqual(JSON.parse(json), value);
    assert.doesNotMatch(json.replaceAll('\n', ''), UNPRINTABLE);
    assert.ok(json.includes('grüße 日本 👋'));
  }
});
