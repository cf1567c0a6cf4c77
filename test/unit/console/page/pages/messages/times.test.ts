import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spanOf } from '#services/console/page/pages/messages/times.ts';

test('a search covers the time that its address names', () => {
  const now = new Date('2026-11-30T12:00:00').getTime();
  const at = (local: string): number => new Date(local).getTime();
  const rows: [query: string, expected: object][] = [
    ['', {}],
    ['time=1h', { since: now - 3_600_000 }],
    ['time=7d&begin=2026-11-01T00:00', { since: now - 7 * 86_400_000 }],
    ['time=between', {}],
    ['time=between&begin=2026-11-29T10:30', { since: at('2026-11-29T10:30') }],
    [
      'time=between&begin=2026-11-29T10:30&end=2026-11-30T00:00',
      { since: at('2026-11-29T10:30'), until: at('2026-11-30T00:00') },
    ],
    ['time=between&begin=yesterday', {}],
    ['time=constructor', {}],
  ];
  for (const [query, expected] of rows) assert.deepEqual(spanOf(new URLSearchParams(query), now), expected, query);
});
