import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sumOf, totalsByDay, totalsBySource } from '#services/console/reports/received/dmarc.ts';
import type { ReportRow } from '#shared/mail/reports/dmarc-report.ts';

const row = (source: string, count: number, more: Partial<ReportRow> = {}): ReportRow => ({
  ...{ source, count, disposition: 'none', dkim: true, spf: true, from: 'example.com' },
  ...more,
});

test('totals by source: what passed by either, and what became of the rest', () => {
  const head = { organisation: 'O', id: '1', domain: 'example.com', begin: 0, end: 1, arrived: 2 };
  const report = (rows: ReportRow[]) => ({ ...head, unreadable: 0, parts: 1, messages: 0, rows });
  const totals = totalsBySource([
    report([row('192.0.2.1', 1), row('192.0.2.2', 10, { dkim: false, from: 'sub.example.com' })]),
    report([
      row('192.0.2.1', 2, { spf: false }),
      row('192.0.2.1', 4, { spf: false, dkim: false, disposition: 'reject' }),
      row('192.0.2.2', 20, { spf: false, dkim: false, disposition: 'quarantine' }),
    ]),
  ]);
  assert.deepEqual(totals, [
    {
      ...{ source: '192.0.2.2', messages: 30, passed: 10, dkim: 0, spf: 10, none: 10, quarantine: 20, reject: 0 },
      from: ['example.com', 'sub.example.com'],
    },
    {
      ...{ source: '192.0.2.1', messages: 7, passed: 3, dkim: 3, spf: 1, none: 3, quarantine: 0, reject: 4 },
      from: ['example.com'],
    },
  ]);
  assert.deepEqual(sumOf(totals), {
    ...{ messages: 37, passed: 13, dkim: 3, spf: 11, none: 13, quarantine: 20, reject: 4 },
  });
});

test('totals by day: today and each of the days before it; reports about other times are left out', () => {
  const DAY = 86_400_000;
  const now = 100 * DAY + 1;
  const report = (day: number, rows: ReportRow[]) => ({
    ...{ organisation: 'O', id: '1', domain: 'example.com', begin: day * DAY, end: (day + 1) * DAY - 1, arrived: 2 },
    ...{ unreadable: 0, parts: 1, messages: 0, rows },
  });
  const failed = row('192.0.2.1', 3, { dkim: false, spf: false });
  const reports = [
    report(100, [row('192.0.2.1', 1)]),
    report(98, [row('192.0.2.1', 2), failed]),
    report(3_000_000, [failed]),
    report(1, [failed]),
  ];
  assert.deepEqual(totalsByDay(reports, 3, now), {
    at: [97 * DAY, 98 * DAY, 99 * DAY, 100 * DAY],
    passed: [0, 2, 0, 1],
    failed: [0, 3, 0, 0],
  });
});
