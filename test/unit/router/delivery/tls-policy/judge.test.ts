import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { parseTlsa } from '#services/router/delivery/dane/records.ts';
import { judge } from '#services/router/delivery/tls-policy/judge.ts';
import type { Target } from '#services/router/delivery/tls-policy/wanted.ts';
import { CertificateVerdict } from '#shared/mail/tls.ts';
import { issue } from '#test/kit/tls/issue.ts';

const target: Target = { name: 'mx.d.test', address: '192.0.2.1', port: 25, domain: 'd.test' };
const leaf = await issue('mx.d.test', { names: ['mx.d.test', '*.wild.test'] });
const other = await issue('other', { names: ['mx.d.test'] });
const certificate = new X509Certificate(leaf.certificate);
const shown = (chainProblem?: string) => ({ presented: () => [certificate], chainProblem });
const whole = (data: Buffer) => ({
  ...({ kind: 'records', base: 'mx.d.test', names: ['mx.d.test'] } as const),
  records: [parseTlsa(Buffer.concat([Buffer.from([3, 0, 0]), data]))],
});

test('a certificate of a trusted authority for the host is verified', () => {
  const { verdict, web, dane } = judge(shown(), target);
  assert.deepEqual(verdict, { name: true, chain: true, expires: certificate.validToDate.getTime() });
  assert.deepEqual([web, dane], [undefined, undefined]);
});

const PROBLEMS: [code: string, type: string, text: RegExp][] = [
  ['CERT_HAS_EXPIRED', 'certificate-expired', /^the certificate has expired$/],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'certificate-not-trusted', /is self-signed/],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'certificate-not-trusted', /authority that is not trusted here/],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'certificate-not-trusted', /without its chain/],
  ['CERT_NOT_YET_VALID', 'certificate-not-trusted', /not valid yet/],
  ['INVALID_PURPOSE', 'certificate-not-trusted', /^the certificate is not for servers/],
  ['CERT_REVOKED', 'certificate-not-trusted', /CERT_REVOKED/],
];
for (const [code, type, text] of PROBLEMS) {
  test(`${code} is told as ${type}`, () => {
    const { verdict, web } = judge(shown(code), target);
    assert.equal(web?.type, type);
    assert.match(web?.reason ?? '', text);
    assert.deepEqual([verdict.name, verdict.chain, verdict.problem], [true, false, web?.reason]);
  });
}

test('the name counts, a wildcard for one whole label', () => {
  const names = ['mx.d.test', 'MX.D.test', 'a.wild.test', 'b.a.wild.test', 'wild.test', 'other.test', '192.0.2.1'];
  const fits = names.filter((name) => judge(shown(), { ...target, name }).web === undefined);
  assert.deepEqual(fits, ['mx.d.test', 'MX.D.test', 'a.wild.test']);
  const { web } = judge(shown(), { ...target, name: 'other.test' });
  assert.deepEqual(web, {
    type: 'certificate-host-mismatch',
    reason: 'the certificate is not for other.test, but for mx.d.test, *.wild.test',
  });
});

test('a certificate without a name is for nobody', async () => {
  const { certificate: nameless } = await issue('', { by: await issue('Root', { ca: true }) });
  const { web } = judge({ presented: () => [new X509Certificate(nameless)], chainProblem: undefined }, target);
  assert.equal(web?.reason, 'the certificate is not for mx.d.test, but for no name');
});

test('TLSA records verify whatever the chain says, or fail whatever the chain says', () => {
  const good = judge(shown('DEPTH_ZERO_SELF_SIGNED_CERT'), { ...target, dane: whole(leaf.der) });
  assert.deepEqual([good.verified, good.dane, good.verdict.dane], ['dane-ee', undefined, 'dane-ee']);

  const bad = judge(shown(), { ...target, dane: whole(other.der) });
  assert.deepEqual([bad.verified, bad.dane?.type, bad.verdict.dane], [undefined, 'validation-failure', 'mismatch']);
});

test('what cannot be read, or is not there, is a verdict too', () => {
  const broken = { presented: () => assert.fail('asn1 encoding routines'), chainProblem: 'x' };
  const { verdict, web, dane } = judge(broken, target);
  assert.deepEqual([verdict.chain, verdict.name], [false, false]);
  assert.match(web?.reason ?? '', /cannot be read.*asn1/);
  assert.equal(dane?.type, 'validation-failure');
  const none = judge({ presented: () => [], chainProblem: undefined }, target);
  assert.deepEqual([none.verdict.chain, none.web?.reason], [false, 'it presented no certificate']);
});

test('a date that cannot be read is no date, and the record of it can be read again', () => {
  const presented = () => [Object.create(certificate, { validToDate: { value: new Date(Number.NaN) } })];
  const { verdict } = judge({ presented, chainProblem: 'ERROR_IN_CERT_NOT_AFTER_FIELD' }, target);
  assert.ok(!('expires' in verdict));
  // As it was written once.
  const kept = JSON.parse(JSON.stringify({ name: true, chain: false, expires: Number.NaN }));
  assert.deepEqual(CertificateVerdict.parse(kept), { name: true, chain: false, expires: undefined });
});
