import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeOrcpt, decodeXtext, parseParameters, parsePath } from '#services/listener/parsers/mail-path.ts';
import { parseExtensions } from '#services/router/delivery/smtp/extensions.ts';
import { rcptCommand } from '#services/router/delivery/smtp/transaction/commands.ts';
import { processorMs } from '#test/kit/processor-time.ts';

const PATHS: [text: string, address: string | { problem: string }][] = [
  ['<>', ''],
  ['<user@example.com>', 'user@example.com'],
  ['<User@EXAMPLE.com>', 'User@example.com'],
  ['<a.b+c=d!e%f@x.test>', 'a.b+c=d!e%f@x.test'],
  ['<user@[127.0.0.1]>', 'user@[127.0.0.1]'],
  ['<user@[IPv6:2001:DB8::1]>', 'user@[ipv6:2001:db8::1]'],
  ['<user@[IPv6:127.0.0.1]>', { problem: 'syntax' }],
  ['<user@[300.0.0.1]>', { problem: 'syntax' }],
  ['<user@[x]>', { problem: 'syntax' }],
  ['<"a b"@x.test>', '"a b"@x.test'],
  ['<"a@b"@x.test>', '"a@b"@x.test'],
  ['<"a>b"@x.test>', '"a>b"@x.test'],
  ['<"plain"@x.test>', 'plain@x.test'],
  ['<"\\p\\l"@x.test>', 'pl@x.test'],
  ['<"a"b@x.test>', { problem: 'syntax' }],
  ['<"a@x.test>', { problem: 'syntax' }],
  ['<user>', { problem: 'syntax' }],
  ['<@x.test>', { problem: 'syntax' }],
  ['<user@>', { problem: 'syntax' }],
  ['<a@b@c.test>', { problem: 'syntax' }],
  ['<a..b@x.test>', 'a..b@x.test'],
  ['<.a@x.test>', '.a@x.test'],
  ['<a.@x.test>', 'a.@x.test'],
  ['<"a..b"@x.test>', '"a..b"@x.test'],
  ['<a..@b@x.test>', { problem: 'syntax' }],
  ['<a b@x.test>', { problem: 'syntax' }],
  ['<a(c)@x.test>', { problem: 'syntax' }],
  ['<a@x.test.>', { problem: 'syntax' }],
  ['<a@-x.test>', { problem: 'syntax' }],
  ['<a@x..test>', { problem: 'syntax' }],
  ['<a@x.te st>', { problem: 'syntax' }],
  [`<a@${'x'.repeat(64)}.test>`, { problem: 'syntax' }],
  [`<${'a'.repeat(250)}@x.test>`, { problem: 'too-long' }],
  ['<a@b_c.test>', 'a@b_c.test'],
  ['user@example.com', { problem: 'syntax' }],
  ['<user@example.com', { problem: 'syntax' }],
  ['user@example.com>', { problem: 'syntax' }],
  ['<@r.test:user@x.test>', { problem: 'source-route' }],
  ['<@r.test,@s.test:user@x.test>', { problem: 'source-route' }],
  ['<jörg@exämple.test>', 'jörg@xn--exmple-cua.test'],
  ['<a\u200bb@x.test>', { problem: 'syntax' }],
  ['<a\u0085b@x.test>', { problem: 'syntax' }],
  ['<a\tb@x.test>', { problem: 'syntax' }],
  ['<postmaster>', { problem: 'syntax' }],
];

for (const [text, expected] of PATHS) {
  test(`path ${text.slice(0, 40)}`, () => {
    assert.deepEqual(parsePath(text, false), typeof expected === 'string' ? { address: expected, rest: '' } : expected);
  });
}

test('postmaster without a domain is a recipient only', () => {
  assert.deepEqual(parsePath('<POSTmaster> X', true), { address: 'postmaster', rest: ' X' });
});

test('what follows the path is returned', () => {
  assert.deepEqual(parsePath('<a@x.test> SIZE=1', false), { address: 'a@x.test', rest: ' SIZE=1' });
});

test('a path is parsed in linear time', () => {
  for (const text of [
    `<${'a'.repeat(100_000)}`,
    `<${'a.'.repeat(50_000)}`,
    `<"${'\\a'.repeat(50_000)}`,
    `<@${'a'.repeat(100_000)}`,
  ]) {
    const took = processorMs(() => assert.ok('problem' in parsePath(text, true)));
    assert.ok(took < 1000, `${text.slice(0, 10)}: ${took} ms`);
  }
});

const PARAMETERS: [text: string, expected: Record<string, string | true> | string][] = [
  ['', {}],
  [' SIZE=10  body=8BITMIME SmtpUtf8 ', { SIZE: '10', BODY: '8BITMIME', SMTPUTF8: true }],
  [' ORCPT=rfc822;a=b@c', { ORCPT: 'rfc822;a=b@c' }],
  [' SIZE=', 'Bad parameter syntax'],
  [' =1', 'Bad parameter syntax'],
  [' A_B=1', 'Bad parameter syntax'],
  [` ${'X'.repeat(65)}=1`, 'Bad parameter syntax'],
  [' SIZE=1 size=1', 'Parameter SIZE was given twice'],
  ['SIZE=1', 'A space must stand between path and parameters'],
];

for (const [text, expected] of PARAMETERS) {
  test(`parameters ${JSON.stringify(text)}`, () => {
    const found = parseParameters(text);
    assert.deepEqual('problem' in found ? found.problem : Object.fromEntries(found.parameters), expected);
  });
}

test('xtext', () => {
  assert.equal(decodeXtext('a+2Bb+3Dc'), 'a+b=c');
  assert.equal(decodeXtext('a+xy'), 'a+xy');
  assert.equal(decodeXtext('a+0D+0Ab'), undefined);
});

for (const [parameter, address] of [
  ['rfc822;B+2Bx@Example.ORG', 'rfc822;B+x@Example.ORG'],
  ['rfc822;a\\x{E9}@x.test', 'rfc822;a\\x{E9}@x.test'],
  ['utf-8;al\\x{E9}ce@far.test', 'utf-8;aléce@far.test'],
  ['UTF-8;\\x{1F600}\\x{5C}\\x{2b}@far.test', 'UTF-8;😀\\+@far.test'],
  ['utf-8;bücher@far.test', 'utf-8;bücher@far.test'],
  ['utf-8;a\\x{0D}\\x{A}b', undefined],
  ['utf-8;a\\x{D800}b', undefined],
  ['utf-8;a\\x{110000}b', undefined],
  ['utf-8;a\\x{FFFFFFFFFFFFFFFFFFFF}b', undefined],
] as const) {
  test(`ORCPT=${parameter} names ${address}, and goes on as it came`, () => {
    assert.equal(decodeOrcpt(parameter), address);
    if (address === undefined) return;
    const sent = rcptCommand({ address: 'x@far.test', orcpt: address }, { ...parseExtensions([]), dsn: true });
    assert.equal(sent, `RCPT TO:<x@far.test> ORCPT=${parameter.replace('ü', '\\x{FC}').replace('{2b}', '{2B}')}\r\n`);
  });
}
