import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type TlsReport, totalsByPolicy } from '#services/console/reports/received/tls.ts';

const report = (organisation: string, domain: string, rows: TlsReport['rows']): TlsReport => ({
  ...{ organisation, domain, rows, id: '1', begin: 0, end: 1, arrived: 2, messages: 0, unreadable: 0, parts: 1 },
});

test('totals by domain and policy: how often TLS came about, how it failed, where, and who says so', () => {
  const expired = { type: 'certificate-expired', host: 'mx1.one.example' };
  const totals = totalsByPolicy([
    report('B', 'one.example', [
      { policy: 'sts', count: 5 },
      { policy: 'sts', count: 2, failure: expired },
      { policy: 'tlsa', count: 1, failure: { type: 'tlsa-invalid' } },
    ]),
    report('A', 'one.example', [
      { policy: 'sts', count: 3, failure: { ...expired, reason: 'since yesterday' } },
      { policy: 'sts', count: 7, failure: { type: 'starttls-not-supported', host: 'mx2.one.example' } },
    ]),
    report('A', 'a.example', [{ policy: 'no-policy-found', count: 9 }]),
  ]);
  const a = { domain: 'a.example', policy: 'no-policy-found', succeeded: 9, failed: 0, failures: [], reporters: ['A'] };
  const failures = [
    { type: 'starttls-not-supported', host: 'mx2.one.example', count: 7, reporters: ['A'] },
    { ...expired, count: 5, reporters: ['A', 'B'] },
  ];
  const tlsa = { type: 'tlsa-invalid', host: undefined, count: 1, reporters: ['B'] };
  assert.deepEqual(totals, [
    a,
    { domain: 'one.example', policy: 'sts', succeeded: 5, failed: 12, failures, reporters: ['A', 'B'] },
    { domain: 'one.example', policy: 'tlsa', succeeded: 0, failed: 1, failures: [tlsa], reporters: ['B'] },
  ]);
});
