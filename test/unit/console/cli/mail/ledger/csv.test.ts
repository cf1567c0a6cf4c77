import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvLine } from '#services/console/cli/mail/ledger/csv.ts';

const CELLS: [cell: string | number | undefined, expected: string, why: string][] = [
  ['mx.example.com', 'mx.example.com', 'plain text'],
  [undefined, '', 'nothing'],
  [7, '7', 'a number'],
  ['a,b "c"', '"a,b ""c"""', 'what separates cells'],
  ['=1+1', `"'=1+1"`, 'a formula'],
  ['  @SUM(A1)', `"'  @SUM(A1)"`, 'a formula after spaces'],
  ['-2', `"'-2"`, 'a sign'],
  ['\t=x', '\\x09=x', 'a tab in front of it'],
  ['a\r\n=b', 'a\\x0d\\x0a=b', 'a second line'],
  ['\x1b[31mred\u202e', '\\x1b[31mred\\u202e', 'what steers a terminal'],
];
for (const [cell, expected, why] of CELLS) {
  test(`T4 a cell of CSV: ${why}`, () => assert.equal(csvLine([cell]), `${expected}\r\n`));
}
