import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { describeTls } from '#services/router/delivery/tls-policy/describe.ts';
import { judge } from '#services/router/delivery/tls-policy/judge.ts';
import { issue } from '#test/kit/tls/issue.ts';

/** What a transcript says of a handshake is what the certificate was judged to be. */

const facts = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' };
const target = { name: 'mx.d.test', address: '192.0.2.1', port: 25, domain: 'd.test' };
const until = Date.UTC(2037, 0, 31);
const { certificate } = await issue('mx', { by: await issue('Root', { ca: true }), names: ['mx.d.test'], until });
const leaf = new X509Certificate(certificate);
const START = 'TLS: TLSv1.3 with TLS_AES_256_GCM_SHA384; ';
const WHOSE = `${START}certificate of mx by Root until 2037-01-31: `;

const CASES: [what: string, name: string, chainProblem: string | undefined, expected: string][] = [
  ['right', 'mx.d.test', undefined, 'from a trusted authority; for mx.d.test'],
  [
    'of another host',
    'a.test',
    undefined,
    'from a trusted authority; not for a.test; the certificate is not for a.test, but',
  ],
  [
    'expired',
    'mx.d.test',
    'CERT_HAS_EXPIRED',
    'not from a trusted authority; for mx.d.test; the certificate has expired',
  ],
];
for (const [what, name, chainProblem, expected] of CASES) {
  test(`a certificate that is ${what}`, () => {
    const { verdict } = judge({ presented: () => [leaf], chainProblem }, { ...target, name });
    assert.ok(describeTls(facts, leaf, verdict, name).startsWith(WHOSE + expected));
  });
}

test('no certificate, and one that cannot be read', () => {
  const none = judge({ presented: () => [], chainProblem: undefined }, target);
  assert.equal(describeTls(facts, undefined, none.verdict, 'mx.d.test'), `${START}it presented no certificate`);
  const broken = judge({ presented: () => assert.fail('asn1'), chainProblem: undefined }, target);
  assert.match(describeTls(facts, undefined, broken.verdict, 'mx.d.test'), /; the certificate cannot be read: asn1/);
});
