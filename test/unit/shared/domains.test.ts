import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest, withParents } from '#shared/address/domains.ts';

for (const [domain, names] of [
  ['', []],
  ['.', ['.']],
  ['a..b', ['a..b', '.b', 'b']],
  ['a.', ['a.']],
  ['test', ['test']],
  ['a.b.c', ['a.b.c', 'b.c', 'c']],
  ['[192.0.2.1]', ['[192.0.2.1]', '0.2.1]', '2.1]', '1]']],
] as [string, string[]][]) {
  test(`"${domain}" and what is above it`, () => assert.deepEqual([...withParents(domain)], names));
}

const ENTRIES = new Map([
  ['*', 'any'],
  ['com', 'top'],
  ['example.com', 'parent'],
  ['eu.example.com', 'exact'],
]);

for (const [domain, expected] of [
  ['notexample.com', 'top'],
  ['', undefined],
  ['example.net', undefined],
  ['example.com.net', undefined],
  ['com', 'top'],
  ['example.com', 'parent'],
  ['us.example.com', 'parent'],
  ['eu.example.com', 'exact'],
  ['a.b.eu.example.com', 'exact'],
  [`${'a.'.repeat(121)}example.com`, 'parent'],
  [`${'a.'.repeat(121)}b.example.com`, undefined],
] as const) {
  test(`the most specific entry for "${domain}" is ${expected}`, () => {
    assert.equal(
      nearest(domain, (name) => ENTRIES.get(name)),
      expected,
    );
  });
}
