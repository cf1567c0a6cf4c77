import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { dueReason, nextTry, renewalTime } from '#services/credential-store/certificates/acme/schedule.ts';
import type { CertificateRecord } from '#services/credential-store/records/certificate-record.ts';
import { issue } from '#test/kit/tls/issue.ts';

/** When a certificate is ordered. */

const DAY_MS = 86_400_000;
// Certificates know whole seconds.
const NOW = Math.floor(Date.now() / 1000) * 1000;
const names = ['mx.example.com'];
/** Of 90 days, of which `days` are over. */
async function record(days: number, acme?: Partial<CertificateRecord['acme']>): Promise<CertificateRecord> {
  const from = NOW - days * DAY_MS;
  const { certificate: chain } = await issue('mx', { names, from, until: from + 90 * DAY_MS });
  const wrapped = { version: 1 as const, nek: 'tls', nekFingerprint: 'f', iv: '', tag: '', data: '' };
  const current = { chain, wrapped, origin: 'acme' as const, since: from, node: 'edge-1' };
  return { name: 'mx', current, ...(acme && { acme: { term: 1, ...acme } }) };
}

const problem = (next: number) => ({ text: 'no', since: NOW - 9000, at: NOW - 5000, tries: 3, next });

const CASES: [string, Promise<CertificateRecord | undefined>, string[], string | undefined][] = [
  ['none yet', Promise.resolve(undefined), names, 'there is none yet'],
  ['a claim alone', Promise.resolve({ name: 'mx', acme: { term: 1, node: 'edge-1' } }), names, 'there is none yet'],
  ['59 of 90 days', record(59), names, undefined],
  ['61 of 90 days', record(61), names, 'it is time to renew it'],
  ['another name', record(1), [...names, 'mx2.example.com'], 'it is not for mx2.example.com'],
  ['fewer names', record(1), names, undefined],
  ['asked for', record(1, { asked: NOW - 1 }), names, 'an administrator asked for it'],
  ['failed a moment ago', record(61, { problem: problem(NOW + 1) }), names, undefined],
  ['failed long enough ago', record(61, { problem: problem(NOW) }), names, 'it is time to renew it'],
  [
    'asked for since it failed',
    record(61, { problem: problem(NOW + DAY_MS), asked: NOW - 1 }),
    names,
    'an administrator asked for it',
  ],
  ['asked for before it failed', record(61, { problem: problem(NOW + DAY_MS), asked: NOW - 9000 }), names, undefined],
];

for (const [what, made, wanted, reason] of CASES) {
  test(`ordered or not: ${what}`, async () => {
    assert.equal(dueReason(await made, { names: wanted }, NOW), reason);
  });
}

test('it is renewed when two thirds of its life are over, or when the authority says so before that', async () => {
  const own = await record(0);
  const fingerprint = new X509Certificate(own.current?.chain ?? '').fingerprint256;
  const suggested = (at: number, of = fingerprint) => ({ term: 1, suggested: { fingerprint: of, at, asked: NOW } });
  assert.equal(renewalTime(own), NOW + 60 * DAY_MS);
  assert.equal(renewalTime({ ...own, acme: suggested(NOW + 5 * DAY_MS) }), NOW + 5 * DAY_MS);
  assert.equal(renewalTime({ ...own, acme: suggested(NOW + 80 * DAY_MS) }), NOW + 60 * DAY_MS);
  assert.equal(renewalTime({ ...own, acme: suggested(NOW, 'of another one') }), NOW + 60 * DAY_MS);
  assert.equal(renewalTime({ name: 'mx' }), undefined);
});

test('the pauses after failures double from a minute to six hours, give or take a quarter', () => {
  const pause = (tries: number, chance: number): number => nextTry(tries, NOW, chance) - NOW;
  assert.equal(pause(1, 0), 45_000);
  assert.equal(pause(1, 1), 75_000);
  assert.equal(pause(2, 0.5), 120_000);
  assert.equal(pause(5, 0.5), 960_000);
  for (const tries of [10, 100, 10_000]) assert.equal(pause(tries, 0.5), 6 * 3_600_000);
});
