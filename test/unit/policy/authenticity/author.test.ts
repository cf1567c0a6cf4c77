import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorOf } from '#services/policy/authenticity/author.ts';
import { splitHeader } from '#shared/mail/header.ts';

/** Values of From, and the one domain that all readers see; undefined where they could see different ones. */
const FROM: [value: string, domain: string | undefined][] = [
  ['Ann <ann@bank.test> (at work)', 'bank.test'],
  ['Ann <ann @bank.test >', 'bank.test'],
  ['ann@ bank.test', 'bank.test'],
  ['ann(b@c)@bank.test (d@e.test)', 'bank.test'],
  ['ann@bank.test.', 'bank.test'],
  ['ann@bank.test(x).evil.test', undefined],
  ['Ann <ann@bank.test\t.evil.test>', undefined],
  ['Ann <ann@bank.test.\r\n evil.test>', undefined],
  ['Ann <ann@evil (@).bank.test>', undefined],
  ['ann@ev\\il.bank.test', undefined],
  ['ann@evil\x02.bank.test <ann@evil\x02.bank.test', undefined],
];
for (const [value, domain] of FROM) {
  test(`From: ${JSON.stringify(value)} is ${domain ?? 'not clear'}`, () => {
    const header = `From: ${value}\r\n`;
    const author = authorOf(splitHeader(header), header);
    assert.equal(author.problem === undefined ? author.domain : undefined, domain);
  });
}
