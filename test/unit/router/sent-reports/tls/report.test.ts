import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TLS_FAILURES } from '#services/router/delivery/tls-policy/result.ts';
import { reportJson } from '#services/router/sent-reports/tls/report.ts';
import { rowOf } from '#services/router/sent-reports/tls/row.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tlsResult } from '#test/kit/tls-reports/results.ts';
import { checkAgainstSchema, VALIDATOR } from '#test/kit/tls-reports/schema.ts';

const STS = {
  type: 'sts' as const,
  strings: ['version: STSv1', 'mode: testing', 'mx: *.one.example', 'max_age: 86400'],
  mxHosts: ['*.one.example'],
};
const NONE = { type: 'no-policy-found' as const, strings: [], mxHosts: [] };
const counted = (count: number, ...result: Parameters<typeof tlsResult>) => ({
  count,
  row: rowOf(tlsResult(...result))?.row ?? assert.fail(),
});
const HEAD = {
  ...{ organisation: 'Example Ltd', contact: 'tls@sender.example', id: '1@sender.example', domain: 'one.example' },
  ...{ begin: Date.UTC(2030, 4, 1) / 1000, end: Date.UTC(2030, 4, 2) / 1000 - 1 },
};

test('a report has each policy once, with its sums and failures', () => {
  const json = reportJson({
    ...HEAD,
    rows: [
      counted(3, 'one.example'),
      counted(2, 'one.example', 'certificate-expired'),
      counted(1, 'one.example', 'sts-policy-fetch-error', { policy: STS, host: undefined }),
      counted(4, 'one.example', undefined, { policy: STS }),
      counted(5, 'one.example', undefined, { policy: NONE }),
    ],
  });
  assert.deepEqual(JSON.parse(json), {
    'organization-name': 'Example Ltd',
    'date-range': { 'start-datetime': '2030-05-01T00:00:00Z', 'end-datetime': '2030-05-01T23:59:59Z' },
    'contact-info': 'tls@sender.example',
    'report-id': '1@sender.example',
    policies: [
      {
        policy: {
          'policy-type': 'tlsa',
          'policy-string': tlsResult('one.example').policy.strings,
          'policy-domain': 'one.example',
        },
        summary: { 'total-successful-session-count': 3, 'total-failure-session-count': 2 },
        'failure-details': [
          {
            'result-type': 'certificate-expired',
            'sending-mta-ip': '198.51.100.7',
            'receiving-mx-hostname': 'mx.one.example',
            'receiving-ip': '192.0.2.25',
            'failed-session-count': 2,
            'failure-reason-code': 'it is as the test says',
          },
        ],
      },
      {
        policy: {
          'policy-type': 'sts',
          'policy-string': STS.strings,
          'policy-domain': 'one.example',
          'mx-host': ['*.one.example'],
        },
        summary: { 'total-successful-session-count': 4, 'total-failure-session-count': 1 },
        'failure-details': [
          {
            'result-type': 'sts-policy-fetch-error',
            'failed-session-count': 1,
            'failure-reason-code': 'it is as the test says',
          },
        ],
      },
      {
        policy: { 'policy-type': 'no-policy-found', 'policy-domain': 'one.example' },
        summary: { 'total-successful-session-count': 5, 'total-failure-session-count': 0 },
      },
    ],
  });
});

test('every failure is one of RFC 8460, by a validator of others', needs(...VALIDATOR), async () => {
  const rows = TLS_FAILURES.map((type) => counted(1, 'one.example', type));
  const json = reportJson({ ...HEAD, rows });
  assert.equal(await checkAgainstSchema(json), '');
  // It does find what is wrong.
  const wrong = json.replace('certificate-expired', 'too-old').replace('198.51.100.7', '198.51.100');
  const found = await checkAgainstSchema(wrong.replace('"report-id":"1@sender.example",', ''));
  for (const what of [/'too-old' is not one of/, /'198\.51\.100' is not valid/, /'report-id' is a required property/])
    assert.match(found, what);
});
