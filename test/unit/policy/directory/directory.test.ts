import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processorMs } from '#test/kit/processor-time.ts';
import { directory, USERS } from '#test/unit/policy/fixtures.ts';

const RESOLVED: [address: string, expected: string[] | undefined, why: string][] = [
  [
    'hostmaster@example.com',
    ['alice@example.com', 'bob@example.com', 'archive@example.net', 'partner@example.net'],
    'aliases of aliases, each once, in order',
  ],
  ['bob@example.com', ['bob@example.com', 'archive@example.net'], 'an alias that names itself keeps a copy'],
  ['bob+x@example.com', ['bob@example.com', 'archive@example.net'], 'a tag ends at an alias'],
  [
    'SALES@example.com',
    ['alice@example.com', 'bob@example.com', 'archive@example.net', 'partner@example.net'],
    'case of an alias',
  ],
  ['ALICE@example.com', ['alice@example.com'], 'case of a mailbox: as the file spells it'],
  ['al.ice@example.com', ['Al.Ice@example.com'], 'the spelling of the file'],
  ['Alice+Tag+2@example.com', ['alice+Tag+2@example.com'], 'the tag stays as the sender wrote it'],
  ['+tag@example.com', undefined, 'a tag of nobody'],
  ['"alice+tag"@example.com', undefined, 'canonical form has no such quotes'],
  ['alice@lists.example.com', undefined, '@domain is for sending'],
  ['any@example.com', undefined, '* is for sending'],
  ['alice@sub.example.com', undefined, 'a subdomain is another domain'],
  ['jürgen@xn--bcher-kva.example', ['jürgen@xn--bcher-kva.example'], 'not ASCII'],
  ['JÜRGEN@xn--bcher-kva.example', ['jürgen@xn--bcher-kva.example'], 'not ASCII, other case'],
  ['ju\u0308rgen@xn--bcher-kva.example', ['jürgen@xn--bcher-kva.example'], 'not ASCII, other form'],
  ['a%alice@example.com', undefined, 'percent hack'],
];

for (const [address, expected, why] of RESOLVED) {
  test(`resolve ${address}: ${why}`, () => assert.deepEqual(directory().resolve(address)?.addresses, expected));
}

const PERMITTED: [user: string, address: string, expected: boolean][] = [
  ['alice', 'alice@example.com', true],
  ['ALICE', 'Alice@EXAMPLE.com', true],
  ['alice', '"alice"@example.com', true],
  ['alice', 'alice+shop@example.com', true],
  ['alice', 'anything@lists.example.com', true],
  ['alice', 'anything@LISTS.example.com', true],
  ['alice', 'x@sub.lists.example.com', false],
  ['alice', 'x@notlists.example.com', false],
  ['alice', 'bob@example.com', false],
  ['alice', '"alice@example.com"@evil.test', false],
  ['alice', 'alice@example.com@evil.test', false],
  ['alice', 'alice', false],
  ['alice', '', false],
  ['bob@example.com', 'Jürgen@BÜCHER.example', true],
  ['bob@example.com', 'sales@example.com', false],
  ['news', 'ceo@anywhere.test', true],
  ['nobody', 'nobody@example.com', false],
  ['stranger', 'alice@example.com', false],
];

for (const [user, address, expected] of PERMITTED) {
  test(`${user} ${expected ? 'may' : 'may not'} send as ${address}`, () =>
    assert.equal(directory().permits(user, address), expected));
}

test('an alias in a loop leads to the way out of it', () => {
  const looped = directory('aliases:\n  a@x.test: [b@x.test]\n  b@x.test: [a@x.test, c@x.test]\n');
  assert.deepEqual(looped.resolve('a@x.test')?.addresses, ['c@x.test']);
  assert.deepEqual(looped.resolve('b@x.test')?.addresses, ['c@x.test']);
});

test('an alias with a tag of its own wins over the mailbox without', () => {
  const tagged = directory(`${USERS}  alice+jobs@example.com: [hr@example.net]\n`);
  assert.deepEqual(tagged.resolve('alice+jobs@example.com')?.addresses, ['hr@example.net']);
  assert.deepEqual(tagged.resolve('alice+other@example.com')?.addresses, ['alice+other@example.com']);
});

test('two thousand aliases cost milliseconds to ask', () => {
  const aliases = Array.from({ length: 2000 }, (_, i) => `  a${i}@x.test: [u${i}@x.test]\n`).join('');
  const large = directory(`aliases:\n${aliases}`);
  const took = processorMs(() => {
    for (let i = 0; i < 2000; i++) assert.ok(large.resolve(`a${i}+t@x.test`));
  });
  assert.ok(took < 5000, `${took} ms`);
});
