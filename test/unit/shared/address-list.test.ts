import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddressList } from '#shared/address/address-list.ts';
import { processorMs } from '#test/kit/processor-time.ts';
import { seededRandom } from '#test/kit/random.ts';

const TABLE: [value: string, expected: string[] | undefined, why: string][] = [
  ['"alice@example.com" <mallory@evil.test>', ['mallory@evil.test'], 'an address in the display name is no address'],
  ['alice@example.com (<mallory@evil.test>)', ['alice@example.com'], 'nor is one in a comment'],
  ['a (b (c) \\) d) <e@f.test>', ['e@f.test'], 'comments nest and quote'],
  ['"a@b"@c.test', ['"a@b"@c.test'], 'a quoted local part with @'],
  ['"alice"@example.com', ['alice@example.com'], 'quotes that are not needed go'],
  ['"a\\"b\\\\"@c.test', ['"a\\"b\\\\"@c.test'], 'quotes and backslashes stay quoted'],
  ['"al\\ice"@example.com', ['alice@example.com'], 'a quoted pair is its character'],
  ['""@c.test', ['""@c.test'], 'an empty quoted local part'],
  ['"john"."doe"@c.test', ['john.doe@c.test'], 'obsolete: quoted words joined by dots'],
  ['john . doe @ example . com', ['john.doe@example.com'], 'obsolete: white space around dots'],
  ['Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>', ['pete@silly.test'], 'RFC 5322 A.5'],
  [
    "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org;",
    ['c@public.example', 'joe@example.org'],
    'RFC 5322 A.5, folded',
  ],
  ['Undisclosed recipients:;', [], 'an empty group'],
  ['g:;, a@b.test, h: c@d.test,, e@f.test;', ['a@b.test', 'c@d.test', 'e@f.test'], 'groups among mailboxes'],
  [',, a@b.test , , c@d.test,', ['a@b.test', 'c@d.test'], 'obsolete: empty members'],
  ['<@relay.test,@other.test:a@b.test>', ['a@b.test'], 'obsolete: a source route'],
  ['Joe Q. Public <john.q.public@example.com>', ['john.q.public@example.com'], 'obsolete: a dot in the phrase'],
  ['=?utf-8?Q?J=C3=B6rg?= <joerg@example.com>', ['joerg@example.com'], 'encoded word'],
  ['Jörg <jörg@bücher.example>', ['jörg@bücher.example'], 'RFC 6532'],
  ['a@[192.0.2.1], b@[IPv6:2001:db8::1]', ['a@[192.0.2.1]', 'b@[IPv6:2001:db8::1]'], 'domain literals'],
  ['<A.B@Example.COM>', ['A.B@Example.COM'], 'case stays'],
  ['', undefined, 'nothing'],
  [' , ,', undefined, 'commas alone'],
  ['(only a comment)', undefined, 'a comment alone'],
  ['alice', undefined, 'no domain'],
  ['<>', undefined, 'the null address is no mailbox'],
  ['alice@example.com <mallory@evil.test>', undefined, '@ in a display name without quotes'],
  ['alice@example.com mallory@evil.test', undefined, 'two addresses without a comma'],
  ['<a@b.test> <c@d.test>', undefined, 'two angles without a comma'],
  ['a@b.test; c@d.test', undefined, 'a semicolon outside a group'],
  ['g: a@b.test', undefined, 'a group that does not end'],
  ['g: h: a@b.test;;', undefined, 'groups do not nest'],
  [': a@b.test;', undefined, 'a group without a name'],
  ['a@b@c.test', undefined, 'two @'],
  ['a..b@c.test', undefined, 'two dots'],
  ['.a@c.test', undefined, 'a leading dot'],
  ['a.@c.test', undefined, 'a trailing dot'],
  ['a b@c.test', undefined, 'two words'],
  ['a@c.test.', undefined, 'a trailing dot in the domain'],
  ['a@"c.test"', undefined, 'a quoted domain'],
  ['a@[x@example.com]', undefined, '@ in a literal'],
  ['a@[192.0.2.1', undefined, 'a literal that does not close'],
  ['"alice@c.test', undefined, 'a quote that does not close'],
  ['a@c.test (', undefined, 'a comment that does not close'],
  ['a@c.test (x\\)', undefined, 'a comment whose end is quoted'],
  ['<a@c.test', undefined, 'an angle that does not close'],
  ['a@c.test\r\nBcc: x@y.test', undefined, 'a line end without a fold'],
  ['"a\0b"@c.test', undefined, 'NUL'],
  ['a\\b@c.test', undefined, 'a backslash outside quotes'],
  ['<@relay.test a@b.test>', undefined, 'a route without its colon'],
];

for (const [value, expected, why] of TABLE) {
  test(`${why}: ${JSON.stringify(value)}`, () => assert.deepEqual(parseAddressList(value), expected));
}

test('hostile values take linear time', () => {
  const size = 250_000;
  const hostile = ['(', '"', '<', ',', '[', '.', 'a', '@', 'a@b,', 'a:', '\\', '(\\)', '""', 'a.', '<@a,', '(a)'];
  for (const unit of hostile) {
    const took = processorMs(() => parseAddressList(unit.repeat(size / unit.length)));
    assert.ok(took < 2000, `a quarter of a megabyte of ${unit} must not take ${took} ms`);
  }
});

test('whatever comes in, an address that comes out is read again as itself', () => {
  const random = seededRandom(5322);
  const syntax = ['@', '<', '>', ',', ';', ':', '"', '\\', '(', ')', '[', ']', ' ', '.', '\t', '\r\n '];
  const words = ['a', 'b.c', '"q r"', 'é', '@x.test', 'd@x.test', '<e@x.test>', '"\\"@"@x.test', '(c)'];
  const pieces = [...syntax, ...words, ...words];
  let accepted = 0;
  for (let i = 0; i < 100_000; i++) {
    const value = Array.from(
      { length: 1 + Math.floor(random() * 9) },
      () => pieces[Math.floor(random() * pieces.length)],
    ).join('');
    for (const address of parseAddressList(value) ?? []) {
      accepted++;
      assert.deepEqual(parseAddressList(address), [address], JSON.stringify(value));
    }
  }
  assert.ok(accepted > 1000, `${accepted} addresses are too few to say anything`);
});
