import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Directory } from '#services/policy/directory/directory.ts';
import { config, directory, rulesOf, SECRET } from '#test/unit/policy/fixtures.ts';

/** `rewrite.delimiter`: what stands before a tag. */

const at = (delimiter: string) => new Directory(directory().sources, delimiter);

const TABLE: [delimiter: string, address: string, expected: string[] | undefined, why: string][] = [
  ['+', 'alice+x-y@example.com', ['alice+x-y@example.com'], 'the default'],
  ['+', 'alice-x@example.com', undefined, 'another character is part of the name'],
  ['-', 'alice-x+y@example.com', ['alice-x+y@example.com'], 'a tag behind -'],
  ['-', 'alice+x@example.com', undefined, '+ is part of the name then'],
  ['-', 'hostmaster-x@example.com', at('-').resolve('hostmaster@example.com')?.addresses, 'an alias drops the tag'],
  ['-', '-x@example.com', undefined, 'a tag of nobody'],
  ['', 'alice+x@example.com', undefined, 'no tags'],
  ['', 'alice@example.com', ['alice@example.com'], 'no tags, no tag'],
];
for (const [delimiter, address, expected, why] of TABLE) {
  test(`delimiter "${delimiter}", ${why}: ${address}`, () => {
    assert.deepEqual(at(delimiter).resolve(address)?.addresses, expected);
  });
}

test('a user may send with a tag behind the delimiter, and behind no other', () => {
  assert.equal(at('-').permits('alice', 'alice-x@example.com'), true);
  assert.equal(at('-').permits('alice', 'alice+x@example.com'), false);
  assert.equal(at('').permits('alice', 'alice+x@example.com'), false);
  assert.equal(at('-').permitsOnBehalfOf('alice', 'boss-x@example.com'), true);
});

test('A4 no user sends as another whose name only looks like one with a tag', () => {
  const USERS = `
users:
  - { name: anna, password: "${SECRET}", addresses: [anna@x.test] }
  - { name: lena, password: "${SECRET}", addresses: [anna-lena@x.test], on-behalf-of: [anna@x.test] }
aliases: { anna-team@x.test: [lena@x.test], lena@x.test: [anna-lena@x.test] }
`;
  const users = new Directory(directory(USERS).sources, '-');
  assert.equal(users.permits('anna', 'anna-x@x.test'), true);
  for (const address of ['anna-lena@x.test', 'Anna-Lena@X.test', 'anna-team@x.test']) {
    assert.equal(users.permits('anna', address), false, address);
  }
  assert.equal(users.permits('lena', 'anna-lena@x.test'), true);
  assert.equal(users.permitsOnBehalfOf('lena', 'anna-team@x.test'), false);
});

test('a map keeps the tag behind the delimiter', () => {
  const rewrite = { delimiter: '-', canonical: [{ map: { 'old@x.test': 'new@x.test' } }] };
  const { rewriting } = rulesOf(config({ rewrite }));
  assert.equal(rewriting.canonical('old-tag@x.test', 'envelope-sender', null), 'new-tag@x.test');
  assert.equal(rewriting.canonical('old+tag@x.test', 'envelope-sender', null), 'old+tag@x.test');
});
