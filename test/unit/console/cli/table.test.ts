import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clean, cleanLines, pairs, shorten, table } from '#services/console/cli/table.ts';

for (const [given, expected] of [
  ['\x1b[2J\x1b]0;title\x07', '\\x1b[2J\\x1b]0;title\\x07'],
  ['a\r\nb\tc', 'a\\x0d\\x0ab\\x09c'],
  ['\x9b31m', '\\x9b31m'],
  ['user\u202egpj.exe', 'user\\u202egpj.exe'],
  ['\ud800', '\ufffd'],
  ['a\u2028b\u0085', 'a\\u2028b\\x85'],
  ['pay\u200bpal', 'pay\\u200bpal'],
  ['grüße 日本 👋', 'grüße 日本 👋'],
] as const) {
  test(`what could steer a terminal is shown: ${JSON.stringify(given)}`, () => assert.equal(clean(given), expected));
}

test('lines and tabs of a longer text stay, everything else is cleaned', () => {
  assert.equal(cleanLines('A: 1\r\n\tB\x1b\r\n'), 'A: 1\n\tB\\x1b\n');
});

test('columns are aligned by what is printed, without spaces at the ends of lines', () => {
  const text = table(
    ['ID', 'TO', ''],
    [
      ['1', 'a\x07', ''],
      ['22', 'bb', 'x'],
    ],
  );
  assert.equal(text, ['ID  TO', '1   a\\x07', '22  bb     x'].join('\n'));
});

test('a table without rows is its head', () => assert.equal(table(['A', 'B'], []), 'A  B'));

test('pairs are aligned', () => {
  assert.equal(
    pairs([
      ['a', '1'],
      ['long', ''],
      ['b', '\x00'],
    ]),
    'a     1\nlong\nb     \\x00',
  );
});

test('long text is cut, short is not', () => {
  assert.equal(shorten('abcdef', 4), 'abc…');
  assert.equal(shorten('abcd', 4), 'abcd');
});
