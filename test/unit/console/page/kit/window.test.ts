import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rowsInSight, scrolledTo, sorted } from '#services/console/page/kit/window.ts';

test('only rows in sight and a few around them are rendered', () => {
  assert.deepEqual(rowsInSight(0, 36, 0, 600), { first: 0, end: 0 });
  assert.deepEqual(rowsInSight(5, 36, 0, 600), { first: 0, end: 5 });
  const { first, end } = rowsInSight(100_000, 36, 36 * 50_000, 600);
  assert.ok(first <= 50_000 && end >= 50_017 && end - first < 50, `${first} to ${end}`);
  assert.equal(rowsInSight(100_000, 36, 36 * 100_000, 600).end, 100_000);
});

test('a list that became short is shown though it was scrolled further', () => {
  const { first, end } = rowsInSight(3, 36, 36 * 5000, 600);
  assert.deepEqual([first, end], [0, 3]);
  assert.equal(rowsInSight(3, 36, -40, 600).first, 0);
});

test('a row is scrolled into sight by as little as can be', () => {
  assert.equal(scrolledTo(0, 36, 400, 600), 0);
  assert.equal(scrolledTo(12, 36, 400, 600), 400);
  assert.equal(scrolledTo(30, 36, 0, 600), 31 * 36 - 600);
});

test('rows are sorted by numbers or texts, equal ones as they were, unknown ones last', () => {
  const rows = [
    { name: 'b', n: 2 },
    { name: 'a', n: 2 },
    { name: 'c', n: 10 },
    { name: 'd', n: undefined },
  ];
  const names = (by: (row: (typeof rows)[number]) => string | number | undefined, down: boolean) =>
    sorted(rows, by, down)
      .map(({ name }) => name)
      .join('');
  assert.equal(
    names((row) => row.n, false),
    'bacd',
  );
  assert.equal(
    names((row) => row.n, true),
    'cbad',
  );
  assert.equal(
    names((row) => row.name, true),
    'dcba',
  );
});
