import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesHost } from '#services/router/delivery/tls-policy/sts/policies.ts';
import { parsePolicyFile } from '#shared/mta-sts/policy-file.ts';

const HEAD = 'version: STSv1\nmode: enforce\nmax_age: 86400\n';

test('a policy is read with its patterns and lines', () => {
  const text = 'version: STSv1\r\nmode: testing\r\nmx: MX1.example.com\r\nmx: *.example.net.\r\nmax_age: 604800\r\n';
  assert.deepEqual(parsePolicyFile(text), {
    mode: 'testing',
    mx: ['mx1.example.com', '*.example.net'],
    maxAge: 604_800,
    lines: ['version: STSv1', 'mode: testing', 'mx: MX1.example.com', 'mx: *.example.net.', 'max_age: 604800'],
  });
});

test('a policy that is to be kept for longer than a year is kept for a year', () => {
  const policy = parsePolicyFile('version: STSv1\nmode: none\nmax_age: 9999999999');
  assert.equal('mode' in policy && policy.maxAge, 31_557_600);
});

test('of fields of the same name the first counts', () => {
  const policy = parsePolicyFile(`${HEAD}mx: a.example\nmode: none\nmax_age: x\nversion: STSv2\nmx: b.example`);
  assert.ok('mode' in policy);
  assert.deepEqual([policy.mode, policy.maxAge, policy.mx], ['enforce', 86_400, ['a.example', 'b.example']]);
});

const TAKEN: [name: string, text: string, taken: boolean][] = [
  ['blank lines', `\n${HEAD}\r\n  \nmx: a.example\n\n`, true],
  ['fields in another order', 'mx: a.example\nmax_age: 1\nmode: enforce\nversion: STSv1', true],
  ['100 mx', `${HEAD}${'mx: a.example\n'.repeat(100)}`, true],
  ['101 mx', `${HEAD}${'mx: a.example\n'.repeat(101)}`, false],
  ['unknown fields', `${HEAD}mx: a.example\nx-note_1.0: grün, aber nicht blau`, true],
  ['a name of one label', `${HEAD}mx: localhost`, true],
  ['a page in place of a policy', '<!doctype html>\n<html>', false],
  ['a name in capitals', `${HEAD}mx: a.example\nMode: none`, true],
  ['the mode in capitals', 'version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 1', false],
  ['a space in front of the colon', `${HEAD}mx : a.example`, false],
  ['a wildcard alone', `${HEAD}mx: *`, false],
  ['a wildcard that is part of a label', `${HEAD}mx: mx*.example.com`, false],
  ['an address of IPv6', `${HEAD}mx: 2001:db8::1`, false],
  ['a label of 64 characters', `${HEAD}mx: ${'a'.repeat(64)}.example`, false],
  ['a name that is too long', `${HEAD}mx: ${'a.'.repeat(130)}example`, false],
  ['an age that is negative', 'version: STSv1\nmode: none\nmax_age: -1', false],
  ['a NUL', `${HEAD}mx: a.example\nx: a\0b`, false],
  ['lines that end with CR alone', HEAD.replaceAll('\n', '\r'), false],
];

for (const [name, text, taken] of TAKEN) {
  test(`a policy with ${name} is ${taken ? 'taken' : 'refused'}`, () => {
    const policy = parsePolicyFile(text);
    assert.equal('mode' in policy, taken, JSON.stringify(policy));
  });
}

test('a problem is told in one printable line', () => {
  const policy = parsePolicyFile(`${HEAD}mx: \u001b[2J${'x'.repeat(1000)}`);
  assert.ok('problem' in policy);
  assert.match(policy.problem, /^[\x20-\x7e]{1,200}…"$/);
});

test('a large file takes no long time', () => {
  const began = performance.now();
  for (const filler of [' ', '\t', '\r', ':', 'a:\n', 'mx: a\n']) parsePolicyFile(`x:${filler.repeat(65_536)}\0`);
  assert.ok(performance.now() - began < 1000);
});

const HOSTS: [pattern: string, host: string, named: boolean][] = [
  ['mx.example.com', 'MX.Example.com.', true],
  ['mx.example.com', 'mx.example.org', false],
  ['*.example.com', 'mx.example.com', true],
  ['*.example.com', 'example.com', false],
  ['*.example.com', 'a.mx.example.com', false],
  ['*.example.com', '.example.com', false],
  ['*.localhost', 'localhost', false],
  ['*.xn--bcher-kva.example', 'mx.xn--bcher-kva.example', true],
];

for (const [pattern, host, named] of HOSTS) {
  test(`${pattern} ${named ? 'names' : 'does not name'} ${host}`, () => {
    assert.equal(namesHost({ mx: ['other.example', pattern] }, host), named);
  });
}
