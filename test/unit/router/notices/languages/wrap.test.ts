import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrapped } from '#services/router/notices/languages/wrap.ts';

const ROWS: [what: string, text: string, width: number, lines: string[]][] = [
  [
    'a word that is longer than a line stays whole',
    'see https://a.example/long here',
    10,
    ['see', 'https://a.example/long', 'here'],
  ],
  ['nothing', '', 10, []],
  ['words', 'one two three', 7, ['one two', 'three']],
  ['a no-break space', 'deux mots\u00a0: trois', 9, ['deux', 'mots\u00a0:', 'trois']],
  ['wide characters count twice', '日本語の文章', 6, ['日本語', 'の文章']],
  ['no line begins with closing punctuation', '日本語。文章', 6, ['日本', '語。文', '章']],
  ['no line begins with a small kana or a long vowel', 'サーバーにチェック', 6, ['サー', 'バーに', 'チェッ', 'ク']],
  ['no line ends with an opening bracket', '日本「語」', 6, ['日本', '「語」']],
  ['ASCII between wide characters', '日本 TLS でのみ', 8, ['日本 TLS', 'でのみ']],
];

for (const [what, text, width, lines] of ROWS) {
  test(`wrapped: ${what}`, () => assert.deepEqual(wrapped(text, width), lines));
}
