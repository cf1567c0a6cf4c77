import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  advanced,
  begin,
  changed,
  ended,
  isOver,
  isReported,
  withoutStore,
} from '#services/router/sent-reports/daily/runs.ts';

const A = { store: 'A', node: 'a', day: '2030-05-01' };
const B = { store: 'B', node: 'b', day: '2030-05-01' };
const live = (): boolean => true;
const dead = (): boolean => false;

test('a run is taken once, and again only when the router that had it is gone', () => {
  const first = begin(undefined, A, live);
  assert.equal(first.epochs[0]?.epoch, 1);
  assert.equal(begin(first, B, live), first, 'it is under way');
  const at = changed(first, 1, (epoch) => advanced(epoch, 'k.test!2030-05-01', false)) ?? assert.fail();
  const second = begin(at, { ...B, day: '2030-05-02' }, dead);
  const { epoch, store, day, through } = second.epochs[0] ?? assert.fail();
  assert.deepEqual([epoch, store, day, through], [2, 'B', '2030-05-01', 'k.test!2030-05-01'], 'the same run goes on');
  assert.equal(changed(second, 1, ended), undefined, 'the first one is deposed');
  const over = changed(second, 2, ended) ?? assert.fail();
  assert.ok(over.epochs[0] && isOver(over.epochs[0]));
  assert.equal(begin(over, A, dead), over, 'the day is done');
  assert.equal(begin(over, { ...A, day: '2030-05-02' }, live).epochs[0]?.epoch, 3);
  assert.equal(begin(first, A, live).epochs[0]?.epoch, 2, 'the same router after a restart');
});

test('a router whose clock ran ahead does not end the reports of the days before', () => {
  const ahead = { ...B, day: '2041-01-01' };
  const first = begin(undefined, A, live);
  const done = changed(first, 1, ended) ?? assert.fail();
  const wrong = begin(done, ahead, live);
  assert.equal(wrong.epochs[0]?.day, '2041-01-01');
  for (const runs of [wrong, changed(wrong, 2, ended) ?? assert.fail()]) {
    assert.equal(begin(runs, A, live), runs, 'the day is done');
    const next = begin(runs, { ...A, day: '2030-05-02' }, live);
    const { epoch, day, through } = next.epochs[0] ?? assert.fail();
    assert.deepEqual([epoch, day, through], [3, '2030-05-02', '']);
    // While its clock is wrong it does not take turns with the others.
    const over = changed(next, 3, ended) ?? assert.fail();
    if (runs !== wrong) assert.equal(begin(over, ahead, live), over);
    assert.equal(begin(over, { ...B, day: '2030-05-02' }, live), over);
  }
});

test('rows are reported where their epoch came as far, with this router, and did not leave them', () => {
  let runs = begin(undefined, A, live);
  for (const [unit, isLeft] of [
    ['a.test!2030-05-01', false],
    ['b.test!2030-05-01', true],
    ['d.test!2030-05-01', false],
  ] as const)
    runs = changed(runs, 1, (epoch) => advanced(epoch, unit, isLeft)) ?? assert.fail();
  runs = changed(runs, 1, (epoch) => withoutStore(epoch, 'C', 'd.test!2030-05-01')) ?? assert.fail();
  const rows: [string, string, number, boolean | undefined][] = [
    ['a.test!2030-05-01', 'B', 1, true],
    ['b.test!2030-05-01', 'B', 1, false],
    ['d.test!2030-05-01', 'B', 1, true],
    ['a.test!2030-05-01', 'C', 1, true],
    ['d.test!2030-05-01', 'C', 1, false],
    ['e.test!2030-05-01', 'B', 1, false],
    ['a.test!2030-05-01', 'B', 2, undefined],
  ];
  for (const [unit, store, epoch, expected] of rows) {
    assert.equal(isReported(runs, { unit, store, epoch }), expected, `${unit} of ${store} in ${epoch}`);
  }
  assert.equal(isReported(undefined, { unit: 'a.test!2030-05-01', store: 'B', epoch: 1 }), undefined);
});
