import assert from 'node:assert/strict';
import { test } from 'node:test';
import { implausible, implausibleOnDisk } from '#cluster/replicated/seal.ts';

const TOP = 2 ** 40;

test('a version that no life of a record leads to is refused, and whatever version is taken can be followed', () => {
  const rows: [version: number, held: number, taken: boolean][] = [
    [1, 0, true],
    [TOP, 0, true],
    [TOP + 1, 0, false],
    [5 + 2 ** 32, 5, true],
    [6 + 2 ** 32, 5, false],
    [TOP + 1, TOP - 2 ** 32, false],
    [TOP + 1, TOP, true],
    [TOP + 2 ** 22, TOP, true],
    [TOP + 2 ** 22 + 1, TOP, false],
    [Number.MAX_SAFE_INTEGER, TOP, false],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1, false],
    [3, 9, true],
  ];
  for (const [version, held, taken] of rows) {
    assert.equal(implausible(version, held) === undefined, taken, `${version} after ${held}`);
    if (!taken) continue;
    assert.equal(implausible(version + 1, version), undefined, `${version + 1} after ${version}`);
    assert.equal(implausibleOnDisk(version), undefined, `${version} on disk`);
  }
  assert.match(implausibleOnDisk(Number.MAX_SAFE_INTEGER) ?? '', /higher than any/);
});
