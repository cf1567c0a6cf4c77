import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTlsReport } from '#services/router/received-reports/tls-report.ts';
import { Unreadable } from '#services/router/received-reports/unreadable.ts';
import { reportJson } from '#services/router/sent-reports/tls/report.ts';
import { rowOf } from '#services/router/sent-reports/tls/row.ts';
import { tlsResult } from '#test/kit/tls-reports/results.ts';

const DAY = Date.UTC(2030, 4, 1);

/** A report as others write it; `more` in place of what it says. */
const report = (more: object = {}): object => ({
  'organization-name': 'Company-X',
  'date-range': { 'start-datetime': '2030-05-01T00:00:00Z', 'end-datetime': '2030-05-01T23:59:59Z' },
  'contact-info': 'sts-reporting@company-x.example',
  'report-id': '5065427c-23d3-47ca-b6e0-946ea0e8c4be',
  policies: [policy()],
  ...more,
});

const policy = (more: object = {}): object => ({
  policy: { 'policy-type': 'sts', 'policy-domain': 'One.Example', 'mx-host': '*.one.example' },
  summary: { 'total-successful-session-count': 5326, 'total-failure-session-count': '303' },
  'failure-details': [
    { 'result-type': 'certificate-expired', 'receiving-mx-hostname': 'MX1.one.example', 'failed-session-count': 100 },
    { 'result-type': 'certificate-expired', 'receiving-mx-hostname': 'mx1.one.example', 'failed-session-count': 103 },
    { 'result-type': 'validation-failure', 'failed-session-count': 40, 'failure-reason-code': 'X509_V\r\nERR' },
    { 'result-type': 7, 'failed-session-count': 1 },
  ],
  ...more,
});

async function* pieces(text: string): AsyncGenerator<Buffer> {
  const size = text.length > 1e5 ? 65_536 : 50;
  for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size));
}
const read = (given: unknown) => readTlsReport(pieces(typeof given === 'string' ? given : JSON.stringify(given)));

test('a report has its sessions by policy and failure; failures without a detail are some of their own', async () => {
  const [found, ...more] = await read(report());
  assert.deepEqual(more, []);
  assert.deepEqual(found, {
    ...{ organisation: 'Company-X', id: '5065427c-23d3-47ca-b6e0-946ea0e8c4be', domain: 'one.example' },
    ...{ begin: DAY, end: DAY + 86_399_000, unreadable: 0 },
    rows: [
      { policy: 'sts', count: 5326 },
      { policy: 'sts', count: 203, failure: { type: 'certificate-expired', host: 'mx1.one.example' } },
      { policy: 'sts', count: 40, failure: { type: 'validation-failure', reason: 'X509_V  ERR' } },
      { policy: 'sts', count: 60, failure: { type: 'unknown' } },
    ],
  });
});

test('each domain of a report has its own, and what says no sums is passed over', async () => {
  const other = policy({ policy: { 'policy-type': 'tlsa', 'policy-domain': 'two.example' }, 'failure-details': null });
  const found = await read(report({ policies: [policy(), other, { policy: {} }, 'x'] }));
  assert.deepEqual(
    found.map(({ domain, unreadable, rows }) => [domain, unreadable, rows.length]),
    [
      ['one.example', 2, 4],
      ['two.example', 2, 2],
    ],
  );
});

test('what we send can be read', async () => {
  const rows = [tlsResult('one.example'), tlsResult('one.example', 'tlsa-invalid')].map((result, n) => ({
    count: n + 2,
    row: rowOf(result)?.row ?? assert.fail(),
  }));
  const head = { organisation: 'Us', contact: 'tls@us.example', id: '1@us.example', domain: 'one.example' };
  const [found] = await read(reportJson({ ...head, begin: DAY / 1000, end: DAY / 1000 + 86_399, rows }));
  assert.deepEqual(found?.rows, [
    { policy: 'tlsa', count: 2 },
    {
      ...{ policy: 'tlsa', count: 3 },
      failure: { type: 'tlsa-invalid', host: 'mx.one.example', reason: 'it is as the test says' },
    },
  ]);
});

test('what is no report is refused, and says why', async () => {
  const range = (start: string, end: string): object => ({ 'start-datetime': start, 'end-datetime': end });
  const cases: [given: unknown, why: RegExp][] = [
    ['{"a":', /its JSON is damaged/],
    [{}, /not a TLS report: organization-name/],
    [report({ policies: [] }), /not a TLS report: policies/],
    [report({ policies: [{}] }), /no policy in the report in it says/],
    [report({ 'date-range': range('yesterday', '2030-05-01T00:00:00Z') }), /date range/],
    [report({ 'date-range': range('2030-05-02T00:00:00Z', '2030-05-01T00:00:00Z') }), /date range/],
    [report({ policies: Array.from({ length: 1001 }, () => policy()) }), /not a TLS report: policies/],
  ];
  for (const [given, why] of cases) {
    await assert.rejects(read(given), (error) => error instanceof Unreadable && why.test(error.message), String(why));
  }
});

test('what unpacks to too much, or has too many details, is refused', async () => {
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(1024 * 1024, ' ');
  }
  await assert.rejects(readTlsReport(endless()), /unpacks to more than 16 MB/);
  const details = Array.from({ length: 10_001 }, (_, n) => ({ 'result-type': `x${n}`, 'failed-session-count': 1 }));
  const policies = [0, 1].map(() => policy({ 'failure-details': details }));
  await assert.rejects(read(report({ policies })), /more than 20000 failure details/);
});

test('details that say the same count one by one; too many values and domains are refused', async () => {
  const details = Array.from({ length: 20_001 }, () => ({ 'result-type': 'x', 'failed-session-count': 1 }));
  await assert.rejects(read(report({ policies: [policy({ 'failure-details': details })] })), Unreadable);
  const unknown = Array.from({ length: 300_000 }, () => []);
  await assert.rejects(read(report({ unknown })), /more than 300000 values/);
  const policies = Array.from({ length: 101 }, (_, n) =>
    policy({ policy: { 'policy-type': 'sts', 'policy-domain': `d${n}.example` } }),
  );
  await assert.rejects(read(report({ policies })), /more than 100 domains/);
});

test('others have their turn while the details of a large report are read', async () => {
  const details = Array.from({ length: 20_000 }, () => ({ 'result-type': 'x', 'failed-session-count': 1 }));
  const large = report({ policies: [policy({ 'failure-details': details })] });
  let [turns, done] = [0, false];
  const turn = (): void => {
    turns++;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  const [found] = await read(large);
  done = true;
  assert.deepEqual(found?.rows.at(-1), { policy: 'sts', count: 20_000, failure: { type: 'x' } });
  assert.ok(turns >= 30, `${turns} turns`);
});
