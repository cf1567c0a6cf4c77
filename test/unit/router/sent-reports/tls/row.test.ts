import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rowOf } from '#services/router/sent-reports/tls/row.ts';
import { TlsRow } from '#shared/mail/reports/tls-rows.ts';
import { tlsResult } from '#test/kit/tls-reports/results.ts';

const POLICY = tlsResult('one.example').policy;

test('a session is a row of its policy; one that failed says how, where and between which addresses', () => {
  assert.deepEqual(rowOf(tlsResult('One.Example.')), { domain: 'one.example', row: { policy: POLICY } });
  const host = { name: 'mx.one.example', address: '::ffff:192.0.2.1', localAddress: 'fe80::1%eth0' };
  assert.deepEqual(rowOf(tlsResult('bücher.example', 'certificate-expired', { host })), {
    domain: 'xn--bcher-kva.example',
    row: {
      policy: POLICY,
      failure: {
        type: 'certificate-expired',
        reason: 'it is as the test says',
        from: 'fe80::1',
        host: 'mx.one.example',
        address: '192.0.2.1',
      },
    },
  });
});

test('what has no domain is not counted, and a policy without a host is', () => {
  for (const domain of ['[192.0.2.1]', '', 'a b.example']) assert.equal(rowOf(tlsResult(domain)), undefined, domain);
  const { row } = rowOf(tlsResult('one.example', 'sts-policy-fetch-error', { host: undefined })) ?? assert.fail();
  assert.deepEqual(row.failure, { type: 'sts-policy-fetch-error', reason: 'it is as the test says' });
});

test('the number of a thread does not make each failure one of its own', () => {
  const text = (thread: string): string => `${thread}:error:0A000410:SSL routines:ssl3_read_bytes:alert number 40\n`;
  const [one, other] = ['40A7A3E87F7F0000', 'C0FC39D2'].map((thread) =>
    rowOf(tlsResult('one.example', undefined, { failure: { type: 'validation-failure', reason: text(thread) } })),
  );
  assert.deepEqual(one, other);
  assert.equal(one?.row.failure?.reason, 'error:0A000410:SSL routines:ssl3_read_bytes:alert number 40');
});

test('a row is as long as it may be, however much others publish', () => {
  const long = Array.from({ length: 500 }, (_, n) => `${n} ${'x'.repeat(900)}`);
  const policy = { type: 'sts' as const, strings: long, mxHosts: long.map((text) => text.slice(0, 300)) };
  const failure = { type: 'validation-failure' as const, reason: 'y\r\n'.repeat(5000) };
  const { row } = rowOf(tlsResult('one.example', undefined, { policy, failure })) ?? assert.fail();
  assert.ok(JSON.stringify(row).length < 10_000);
  assert.deepEqual(TlsRow.parse(row), row);
});
