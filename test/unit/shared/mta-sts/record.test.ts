import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStsRecord } from '#shared/mta-sts/record.ts';

/** An id, that there is no record (`none`), or that there is one and it is wrong (`wrong`). */
const CASES: [name: string, records: string[], expected: string][] = [
  ['two records', ['v=STSv1; id=a', 'v=STSv1; id=a'], 'wrong'],
  ['a record beside those of others', ['google-site-verification=1', 'v=STSv1; id=a;', 'v=STSv2; id=b'], 'id a'],
  ['records of others alone', ['v=spf1 -all', ''], 'none'],
  ['no record', [], 'none'],
  ['the record of another version', ['v=STSv10; id=a'], 'none'],
  ['fields in another order', ['v=STSv1; x=1; id=20160831085700Z'], 'id 20160831085700Z'],
  ['an id twice', ['v=STSv1; id=a; id=b'], 'id a'],
  ['no id', ['v=STSv1; x=1'], 'wrong'],
  ['an empty id', ['v=STSv1; id=; x=1'], 'wrong'],
  ['an id with a hyphen', ['v=STSv1; id=2016-08-31'], 'wrong'],
  ['the id in another field', ['v=STSv1; xid=a'], 'wrong'],
  ['a name in capitals', ['v=STSv1; ID=a'], 'wrong'],
  ['a space inside', ['v=STSv1; id=a b'], 'wrong'],
  ['a line end', ['v=STSv1; id=a\n'], 'wrong'],
];

for (const [name, records, expected] of CASES) {
  test(`${name}: ${expected}`, () => {
    const read = readStsRecord(records);
    const found = 'id' in read ? `id ${read.id}` : read.none === undefined ? 'none' : 'wrong';
    assert.equal(found, expected);
  });
}

test('a long record takes no long time', () => {
  const began = performance.now();
  for (const filler of [' ', ';', '\t;', 'a=b;', 'a']) readStsRecord([`v=STSv1;${filler.repeat(60_000)}\0`]);
  assert.ok(performance.now() - began < 1000);
});
