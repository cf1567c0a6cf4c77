import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planFor } from '#services/signer/plan.ts';
import { domainsOf, keyringOf, testKey } from './signing.ts';

const KEYS = [
  testKey('example.com', 's1'),
  testKey('example.com', 's2', 'ed25519'),
  testKey('eu.example.com', 'e1'),
  testKey('company.test', 'c1'),
];

const ENTRIES = domainsOf(
  { name: 'alias.test', 'sign-as': 'company.test', signing: { mode: 'enforce' } },
  { name: 'deep.alias.test', signing: { mode: 'off' } },
  { name: 'aliaseu.test', 'sign-as': 'sub.eu.example.com' },
  { name: 'one.test', 'sign-as': 'example.com', signing: { selectors: ['S2'] } },
  { name: 'none.test', 'sign-as': 'example.com', signing: { selectors: ['s9'] } },
  { name: 'bare.test', signing: { mode: 'enforce' } },
  { name: 'off.test', signing: { mode: 'off' } },
  { name: 'on.off.test' },
);

type Expected = { mode: string; keys: string[]; wanted: string } | undefined;

const best = (keys: string[], wanted: string): Expected => ({ mode: 'best-effort', keys, wanted });
const enforce = (keys: string[], wanted: string): Expected => ({ mode: 'enforce', keys, wanted });

const CASES: [what: string, domain: string, Expected][] = [
  ['no entry, no key', 'other.test', undefined],
  ['no entry and no key of a name that only ends alike', 'notexample.com', undefined],
  ['no domain', '', undefined],
  ['an address literal', '[192.0.2.1]', undefined],
  ['the parent of a domain with keys', 'com', undefined],
  ['switched off', 'off.test', undefined],
  ['a subdomain of what is switched off', 'x.off.test', undefined],
  ['a subdomain with an entry of its own below one that is off', 'on.off.test', best([], 'on.off.test')],
  ['switched off below a sign-as', 'x.deep.alias.test', undefined],
  ['no entry, keys: all of them sign', 'example.com', best(['example.com/s1', 'example.com/s2'], 'example.com')],
  ['a subdomain, keys of the parent', 'a.b.example.com', best(['example.com/s1', 'example.com/s2'], 'a.b.example.com')],
  ['a subdomain with keys of its own', 'x.eu.example.com', best(['eu.example.com/e1'], 'x.eu.example.com')],
  ['an entry without keys', 'bare.test', enforce([], 'bare.test')],
  ['an alias', 'alias.test', enforce(['company.test/c1'], 'company.test')],
  ['a subdomain of an alias', 'x.alias.test', enforce(['company.test/c1'], 'company.test')],
  ['an alias to a name that has no keys itself, but its parent does', 'aliaseu.test', best([], 'sub.eu.example.com')],
  ['some selectors, in another case', 'one.test', best(['example.com/s2'], 'example.com (s2)')],
  ['selectors that do not exist', 'none.test', best([], 'example.com (s9)')],
];

for (const [what, domain, expected] of CASES) {
  for (const [order, entries] of [
    ['first', ENTRIES],
    ['last', ENTRIES.toReversed()],
  ] as const) {
    test(`plan: ${what} (entries ${order})`, () => {
      const plan = planFor(domain, entries, keyringOf(...KEYS).keysOf);
      const shown = plan && {
        mode: plan.mode,
        keys: plan.keys.map((k) => `${k.domain}/${k.selector}`),
        wanted: plan.wanted,
      };
      assert.deepEqual(shown, expected);
      if (plan !== undefined) assert.equal(plan.domain, domain);
    });
  }
}

test('an entry that names selectors of the parent passes over a key of the subdomain (DOMINO D5, D6)', () => {
  const entries = domainsOf({ name: 'example.com', signing: { selectors: ['s1'] } });
  const keys = planFor('eu.example.com', entries, keyringOf(...KEYS).keysOf)?.keys ?? [];
  assert.deepEqual(
    keys.map((k) => `${k.domain}/${k.selector}`),
    ['example.com/s1'],
  );
});

test('a more specific entry wins over its parent', () => {
  const entries = domainsOf(
    { name: 'example.com', signing: { mode: 'enforce', selectors: ['s1'] } },
    { name: 'eu.example.com', signing: { selectors: ['e1'] } },
  );
  const plan = planFor('mx.eu.example.com', entries, keyringOf(...KEYS).keysOf);
  assert.equal(plan?.mode, 'best-effort');
  assert.deepEqual(
    plan?.keys.map((k) => k.selector),
    ['e1'],
  );
});
