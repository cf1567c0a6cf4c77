import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { commonName, subjectName } from '#cluster/certificates/describe.ts';
import { issue } from '#test/kit/tls/issue.ts';

const CASES: [what: string, name: string, names: string[], expected: string][] = [
  ['nothing', '', [], 'no name'],
  ['names alone', '', ['mx.example.com', 'mail.example.com'], 'mx.example.com'],
  ['a common name', 'Mail Exchanger', ['mx.example.com'], 'Mail Exchanger'],
  ['a common name among others', 'mx, O=Example', [], 'mx'],
];
for (const [what, name, names, expected] of CASES) {
  test(`the holder of a certificate that has ${what}`, async () => {
    assert.equal(subjectName(new X509Certificate((await issue(name, { names })).certificate)), expected);
  });
}

test('a name without a common name is told whole', () => {
  assert.equal(commonName('O=Example\nC=DE'), 'O=Example, C=DE');
});
