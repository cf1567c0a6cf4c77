import assert from 'node:assert/strict';
import { test } from 'node:test';
import { languageOf } from '#services/router/notices/languages/language.ts';
import { settingsFor } from '#test/unit/router/fixture.ts';

test('the language of a notice is that of the most specific domain of its reader, else the one for all', () => {
  const options = { language: 'fr', languages: { example: 'de', 'jp.example': 'ja', 'bücher.test': 'de' } };
  const { dsn } = settingsFor('/nowhere', { dsn: options }).current;
  const rows: [string, string][] = [
    ['a@other.test', 'fr'],
    ['a@notexample', 'fr'],
    ['a@example', 'de'],
    ['a@mail.EXAMPLE', 'de'],
    ['a@jp.example', 'ja'],
    ['a@tokyo.jp.example', 'ja'],
    ['a@BÜCHER.test', 'de'],
    ['a@constructor', 'fr'],
    ['postmaster', 'fr'],
    [`a@${'x.'.repeat(200)}example`, 'fr'],
  ];
  for (const [reader, expected] of rows) assert.equal(languageOf(reader, dsn), expected, reader);
  assert.equal(languageOf('a@b', settingsFor('/nowhere').current.dsn), 'en');
});
