import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FailureLimit,
  HOUR_MS,
  MOST_OF_DOMAIN,
  MOST_OF_NODE,
} from '#services/router/sent-reports/dmarc/failures/limit.ts';

const admitted = (limit: FailureLimit, now: number, names: string[]): number =>
  names.filter((name) => limit.admits(name, now)).length;

test('a domain has a limit of its own, and gets it again in the next hour', () => {
  const limit = new FailureLimit();
  const many = Array<string>(MOST_OF_DOMAIN + 5).fill('a.test');
  assert.equal(admitted(limit, 0, many), MOST_OF_DOMAIN);
  assert.equal(admitted(limit, HOUR_MS - 1, ['a.test', 'b.test']), 1);
  assert.equal(admitted(limit, HOUR_MS, many), MOST_OF_DOMAIN);
});

test('a node has a limit, however many domains there are', () => {
  const limit = new FailureLimit();
  const many = Array.from({ length: MOST_OF_NODE + 100 }, (_, n) => `d${n}.test`);
  assert.equal(admitted(limit, 0, many), MOST_OF_NODE);
  assert.equal(admitted(limit, HOUR_MS, many), MOST_OF_NODE);
});
