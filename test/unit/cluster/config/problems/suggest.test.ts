import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suggest } from '#cluster/config/problems/suggest.ts';

const KNOWN = ['listeners', 'limits', 'tls', 'mx', 'queue', 'domains', 'dns'];

for (const [word, expected] of [
  ['', undefined],
  ['console', undefined],
  ['quarantine', undefined],
  ['tsl', 'tls'],
  ['MX', 'mx'],
  ['listener', 'listeners'],
  ['lsiteners', 'listeners'],
  ['limit', 'limits'],
  ['domians', 'domains'],
] as const) {
  test(`"${word}" suggests ${expected ?? 'nothing'}`, () => assert.equal(suggest(word, KNOWN), expected));
}
