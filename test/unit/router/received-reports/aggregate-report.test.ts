import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AggregateReport, readAggregateReport } from '#services/router/received-reports/aggregate-report.ts';
import { Unreadable } from '#services/router/received-reports/unreadable.ts';
import { reportXml, type SentReport } from '#test/kit/dmarc/reports.ts';

const BEGIN = Date.UTC(2026, 10, 1);
const END = Date.UTC(2026, 10, 2);

async function read(xml: string | Buffer): Promise<AggregateReport> {
  return readAggregateReport(
    (async function* () {
      yield Buffer.from(xml);
    })(),
  );
}

const RECORD = { disposition: 'none', dkim: true, spf: true, from: 'example.com' } as const;

describe('a report is read', () => {
  for (const [title, root] of [
    ['in no namespace', ''],
    ['in that of RFC 9990', ' xmlns="urn:ietf:params:xml:ns:dmarc-2.0"'],
    ['in that of RFC 7489', ' xmlns="http://dmarc.org/dmarc-xml/0.1"'],
  ] as const) {
    test(title, async () => {
      const report = await read(reportXml({ root, begin: BEGIN, end: END, rows: [{ source: '192.0.2.1', count: 3 }] }));
      assert.deepEqual(report, {
        ...{ organisation: 'Receiver Inc.', id: '1@receiver.example', domain: 'example.com', begin: BEGIN, end: END },
        unreadable: 0,
        rows: [{ source: '192.0.2.1', count: 3, ...RECORD }],
      });
    });
  }

  test('with prefixes, in UTF-16', async () => {
    const xml = reportXml({ rows: [{ source: '2001:DB8::1', count: 3 }] }).replace(/<(\/?)(?=[a-z])/g, '<$1d:');
    const { rows } = await read(Buffer.from(`\ufeff${xml}`, 'utf16le'));
    assert.deepEqual(rows, [{ source: '2001:db8::1', count: 3, ...RECORD }]);
  });
});

test('what counts is the result of aligned identifiers, and rows that say the same are one', async () => {
  const { rows } = await read(
    reportXml({
      rows: [
        { source: '192.0.2.1', count: 3 },
        { source: '192.0.2.1', count: 4, dkim: 'fail', spf: 'softfail', disposition: 'reject' },
        { source: '192.0.2.1', count: 5, from: 'EXAMPLE.com.' },
        { source: '192.0.2.1', count: 6, dkim: 'Pass', spf: '', disposition: 'pass' },
      ],
    }),
  );
  assert.deepEqual(rows, [
    { source: '192.0.2.1', count: 8, ...RECORD },
    { source: '192.0.2.1', count: 4, ...RECORD, dkim: false, spf: false, disposition: 'reject' },
    { source: '192.0.2.1', count: 6, ...RECORD, spf: false },
  ]);
});

test('records that make no sense are counted and left out', async () => {
  const odd = [
    { source: 'mail.example', count: 1 },
    { source: '', count: 1 },
    { source: '192.0.2.1', count: -1 },
    { source: '192.0.2.1', count: '1e3' },
    { source: '192.0.2.1', count: '99999999999' },
    { source: '192.0.2.1', count: 1, disposition: 'deleted' },
    { source: 'fe80::1%aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', count: 1 },
  ];
  const { rows, unreadable } = await read(reportXml({ rows: [...odd, { source: '192.0.2.1', count: 1 }] }));
  assert.equal(unreadable, odd.length);
  assert.equal(rows.length, 1);
});

test('names cannot steer a terminal, and are cut', async () => {
  const { organisation, id } = await read(reportXml({ organisation: 'A\u202eB &#27;[31m', id: 'x'.repeat(1000) }));
  assert.match(organisation, /^[\x20-\x7e]+$/);
  assert.ok(id.length <= 251);
});

describe('not a report', () => {
  const many = Array.from({ length: 20_001 }, (_, n) => ({ source: `10.0.${n >> 8}.${n & 255}`, count: 1 }));
  const cases: [string, string | SentReport, RegExp][] = [
    ['other XML', '<html><body>Hello</body></html>', /not an aggregate report/],
    ['without an id', { id: '' }, /does not say its id/],
    ['without an organisation', { organisation: ' ' }, /does not say its organisation/],
    ['without a domain', { domain: '' }, /does not say its domain/],
    ['a day that ends before it begins', { begin: END, end: BEGIN }, /date range/],
    ['a year', { begin: END - 366 * 86_400_000, end: END }, /date range/],
    ['too many rows', { rows: many }, /more than 20000 rows/],
    ['cut off', reportXml().slice(0, -20), /cut off/],
  ];
  for (const [title, given, why] of cases) {
    test(title, async () => {
      const failure = read(typeof given === 'string' ? given : reportXml(given));
      await assert.rejects(failure, (error) => error instanceof Unreadable && why.test(error.message));
    });
  }
});
