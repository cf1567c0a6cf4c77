import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAuthors } from '#shared/address/authors.ts';
import { HOSTILE_FROM } from '#test/kit/hostile-from.ts';
import { processorMs } from '#test/kit/processor-time.ts';

/** `problem`: readers could see something else too. */
const TABLE: [value: string, addresses: string[], problem: boolean, why: string][] = [
  ['Ann <a@d.test>', ['a@d.test'], false, 'well formed'],
  ['"x@evil.test" <a@d.test>', ['a@d.test'], false, 'a display name in quotes is no address'],
  ['a@d.test, b@e.test', ['a@d.test', 'b@e.test'], false, 'two authors'],
  ['g:;', [], false, 'an empty group'],
  ['a@d.test <a@d.test>', ['a@d.test'], false, 'an address as display name'],
  ['x@evil.test <a@d.test>', ['x@evil.test', 'a@d.test'], false, 'another address as display name'],
  ['Doe, Ann <a@d.test>', ['a@d.test'], false, 'a comma in the name'],
  ['Ann [Help] <a@d.test>', ['a@d.test'], false, 'brackets in the name'],
  ['Ann: Help <a@d.test>', ['a@d.test'], false, 'a colon in the name'],
  ['Ann; Help <a@d.test>', ['a@d.test'], false, 'a semicolon in the name'],
  ['"Ann <a@d.test>', ['a@d.test'], false, 'one quote'],
  ['Ann (Help <a@d.test>', ['a@d.test'], false, 'one parenthesis'],
  ['Ann <a@d.test', ['a@d.test'], false, 'one bracket'],
  ['Ann a@d.test>', ['a@d.test'], false, 'the other bracket'],
  ['Ann <<a@d.test>>', ['a@d.test'], false, 'double brackets'],
  ['<mailto:a@d.test>', ['a@d.test'], false, 'a URL'],
  ['Ann <a@d.test.>', ['a@d.test'], false, 'the root dot'],
  ['Doe, J\u00f6rg <j\u00f6rg@b\u00fccher.test>', ['j\u00f6rg@b\u00fccher.test'], false, 'not ASCII'],
  ['=?utf-8?q?a@d.test?= <a@d.test>', ['=?utf-8?q?a@d.test', 'a@d.test'], false, 'an encoded word of the same domain'],
  ['x, =?utf-8?q?x=40evil.test?= <a@d.test>', ['a@d.test', 'x@evil.test'], false, 'an address in an encoded word'],
  ['x, =?utf-8?B?eEBldmlsLnRlc3Q=?= <a@d.test>', ['a@d.test', 'x@evil.test'], false, 'the same in base64'],
  ['(x@evil.test <a@d.test>', ['x@evil.test', 'a@d.test'], false, 'perhaps a comment'],
  ['"x@evil.test <a@d.test>', ['x@evil.test', 'a@d.test'], false, 'perhaps quotes'],
  ['x@evil.test: a@d.test;', ['x@evil.test', 'a@d.test'], false, 'perhaps a group'],
  ['Ann, a@d. test', ['a@d'], true, 'perhaps white space in a domain'],
  ['Ann, a@d .test', ['a@d'], true, 'the same'],
  ['Ann, a@d(x).test', ['a@d'], true, 'perhaps a comment in a domain'],
  ['Ann, "x y"@d.test', ['@d.test'], true, 'a local part that cannot be read'],
  ['Ann, a@[192.0.2.1] <a@d.test>', ['a@d.test'], true, 'an address literal'],
  ['a@b@d.test', ['a@b', 'b@d.test'], true, 'two @'],
  ['Ann @ Home <a@d.test>', ['a@d.test'], true, 'an @ alone'],
  ['Ann', [], true, 'no address'],
  ['', [], true, 'nothing'],
  ['a@d.test\rb', ['a@d.test'], true, 'a bare CR'],
  [`${'a\u0301\u0316'.repeat(110)}@d.test`, [], true, 'a local part that is too long'],
  [`a@${'d.'.repeat(126)}test`, [], true, 'a domain that is too long'],
  [`Doe, <a@${'d.'.repeat(126)}test>`, [], true, 'the same in a From that is not well formed'],
];

for (const [value, addresses, problem, why] of TABLE) {
  test(`${why}: ${value.slice(0, 60)}`, () => {
    const authors = readAuthors(value);
    assert.deepEqual(authors.addresses, addresses);
    assert.equal(authors.problem !== undefined, problem, authors.problem);
  });
}

test('an author beyond those that are looked at is not overlooked', () => {
  for (const separator of [', ', ' ']) {
    const { addresses, problem } = readAuthors(`${`a@d.test${separator}`.repeat(100)}x@evil.test`);
    assert.ok(problem !== undefined);
    assert.ok(addresses.length <= 101);
  }
  assert.equal(readAuthors('a@d.test, '.repeat(100)).problem, undefined);
});

test('time grows with the length of a field and not with its square', () => {
  const [short, long] = [16_000, 512_000];
  for (const unit of HOSTILE_FROM) {
    const time = (size: number): number => {
      const value = unit.repeat(size / unit.length);
      return processorMs(() => readAuthors(value));
    };
    // It is counted in steps of several ms.
    const least = Math.min(time(short), time(short), time(short));
    const took = time(long);
    // 32 times as long; a square would be 1000 times as much.
    assert.ok(took < 200 * least + 500, `${JSON.stringify(unit)}: ${least} ms, ${took} ms`);
  }
});
