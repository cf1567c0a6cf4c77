import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import {
  dueReason,
  nextAsk,
  nextTry,
  pointIn,
  renewalOf,
} from '#services/credential-store/certificates/acme/schedule.ts';
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

test('it is renewed when two thirds of its life are over, or as the authority says, but in time', async () => {
  const own = await record(0);
  const fingerprint = new X509Certificate(own.current?.chain ?? '').fingerprint256;
  const suggested = (at: number, of = fingerprint) => ({ term: 1, suggested: { fingerprint: of, at, asked: NOW } });
  const days = (acme?: CertificateRecord['acme']) => {
    const { at, why } = renewalOf({ ...own, ...(acme && { acme }) }) ?? assert.fail('no time');
    return [Math.round(((at - NOW) / DAY_MS) * 10) / 10, why];
  };
  assert.deepEqual(days(), [60, 'life']);
  assert.deepEqual(days(suggested(NOW + 5 * DAY_MS)), [5, 'authority']);
  assert.deepEqual(days(suggested(NOW + 62 * DAY_MS)), [62, 'authority']);
  assert.deepEqual(days(suggested(NOW - DAY_MS)), [-1, 'authority']);
  assert.deepEqual(days(suggested(NOW + 80 * DAY_MS)), [75, 'latest']);
  assert.deepEqual(days(suggested(NOW, 'of another one')), [60, 'life']);
  assert.equal(renewalOf({ name: 'mx' }), undefined);
  const withdrawn = { ...own, acme: suggested(NOW - 1) };
  assert.equal(dueReason(withdrawn, { names }, NOW), 'the authority suggests to renew it');
});

test('an authority that wants each certificate back right after its issue gets pauses, which double', async () => {
  const due = async (soon: number | undefined, minutes: number, life = 90) => {
    const made = await record(0);
    const from = NOW - minutes * 60_000;
    const { certificate: chain } = await issue('mx', { names, from, until: from + life * DAY_MS });
    const current = { ...(made.current ?? assert.fail('none')), chain, since: from };
    const { fingerprint256: fingerprint } = new X509Certificate(chain);
    const suggested = { fingerprint, at: from - DAY_MS, asked: from };
    return dueReason({ ...made, current, acme: { term: 1, suggested, ...(soon && { soon }) } }, { names }, NOW);
  };
  const DUE = 'the authority suggests to renew it';
  assert.equal(await due(undefined, 0), DUE);
  assert.equal(await due(1, 0), undefined);
  assert.equal(await due(1, 2), DUE);
  assert.equal(await due(4, 7), undefined);
  assert.equal(await due(4, 9), DUE);
  assert.equal(await due(50, 300), undefined);
  assert.equal(await due(50, 361), DUE);
  // A certificate of an hour is renewed in time all the same.
  assert.equal(await due(50, 29, 1 / 24), undefined);
  assert.equal(await due(50, 31, 1 / 24), DUE);
});

test('a point in the window is any of it', () => {
  assert.equal(pointIn(1000, 2000, 0), 1000);
  assert.equal(pointIn(1000, 2000, 0.25), 1250);
  assert.equal(pointIn(1000, 2000, 1), 2000);
});

test('an authority is asked again as it says, between a minute and a day', () => {
  const now = Date.parse('2026-11-30T12:00:00Z');
  const cases: [string | undefined, number][] = [
    [undefined, 21_600],
    ['', 21_600],
    ['soon', 21_600],
    ['-5', 60],
    ['0', 60],
    ['59', 60],
    ['61', 61],
    [' 21600 ', 21_600],
    ['86401', 86_400],
    ['9'.repeat(400), 86_400],
    ['Mon, 30 Nov 2026 13:00:00 GMT', 3600],
    ['Mon, 30 Nov 2026 11:00:00 GMT', 60],
    ['Wed, 30 Dec 2026 11:00:00 GMT', 86_400],
  ];
  for (const [retryAfter, seconds] of cases) {
    assert.equal(nextAsk(retryAfter, now) - now, seconds * 1000, `Retry-After: ${retryAfter}`);
  }
});

test('the pauses after failures double from a minute to six hours, give or take a quarter', () => {
  const pause = (tries: number, chance: number): number => nextTry(tries, NOW, chance) - NOW;
  assert.equal(pause(1, 0), 45_000);
  assert.equal(pause(1, 1), 75_000);
  assert.equal(pause(2, 0.5), 120_000);
  assert.equal(pause(5, 0.5), 960_000);
  for (const tries of [10, 100, 10_000]) assert.equal(pause(tries, 0.5), 6 * 3_600_000);
});
