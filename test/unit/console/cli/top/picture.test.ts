import assert from 'node:assert/strict';
import { test } from 'node:test';
import { picture, rateText, shareText, sparkline, type View } from '#services/console/cli/top/picture.ts';
import type { NodeRates } from '#services/console/reports/traffic/rates.ts';

/** The screen of `sealpost top`. */

const rates = (accepted: number): NodeRates => ({
  rates: {
    ...{ accepted, refused: 0.5, putOff: 0, delivered: accepted, deferred: 0, failed: 0 },
    ...{ signed: accepted, sent: accepted, encrypted: 0 },
  },
  ...{ signed: 1, encrypted: 0.9999, queue: { active: 1, deferred: 12_345, hold: 0 }, sessions: 3 },
});
const VIEW: View = {
  title: 'sealpost top: 2 nodes',
  rates: {
    nodes: new Map([
      ['edge-1', rates(1234)],
      ['edge-2', rates(1)],
    ]),
    all: rates(1235),
  },
  ...{ history: { accepted: [0, 5, 10], delivered: [] }, alarms: [], silent: [] },
};
const PLAIN = { columns: 160, rows: 40, colour: false };

test('a line for each node and one for all', () => {
  const lines = picture(VIEW, PLAIN);
  assert.equal(lines[0], 'sealpost top: 2 nodes');
  assert.match(lines[3] ?? '', /^edge-1 +1,234\/s +0\.5\/s +0 +1,234\/s .* 100 % +99\.9 % +1 +12,345 +0 +3$/);
  assert.match(lines[5] ?? '', /^all +1,235\/s/);
  assert.equal(lines.at(-1), 'nothing needs a hand');
});

test('that nothing needs a hand is said when it is known', () => {
  const lines = picture({ ...VIEW, alarms: undefined }, PLAIN);
  assert.equal(lines.at(-1), 'the cluster is being examined …');
});

test('one node is all', () => {
  const lines = picture({ ...VIEW, rates: { nodes: new Map([['edge-1', rates(1)]]), all: rates(1) } }, PLAIN);
  assert.ok(!lines.some((line) => line.startsWith('all ')));
});

test('what needs a hand comes with its words, and nothing steers the terminal', () => {
  const silent = [{ node: 'edge-2', services: ['router'], reason: 'no answer\x1b[2J' }];
  const alarms = [{ severity: 'error' as const, text: 'error: node edge-1: its queue is full' }];
  const lines = picture({ ...VIEW, alarms, silent }, { ...PLAIN, colour: true });
  assert.ok(lines.some((line) => line.includes('edge-2 (router) does not answer: no answer\\x1b[2J')));
  assert.ok(lines.some((line) => line.includes('its queue is full')));
  assert.ok(!lines.some((line) => line.includes('nothing needs a hand')));
});

test('it fits the screen, whatever there is to say', () => {
  const alarms = Array.from({ length: 50 }, (_, n) => ({ severity: 'warning' as const, text: `warning: ${n}` }));
  for (const rows of [3, 10, 20, 24, 70]) {
    for (const columns of [1, 20, 60]) {
      const lines = picture({ ...VIEW, alarms }, { columns, rows, colour: false });
      assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
      for (const line of lines) assert.ok(line.length <= columns, line);
    }
  }
  const lines = picture({ ...VIEW, alarms }, { columns: 60, rows: 20, colour: false });
  assert.match(lines.at(-1) ?? '', /^and 4\d more: sealpost doctor$/);
});

test('rates and shares', () => {
  const texts = [0, 0.02, 3.16, 9.99, 10, 412.4, 12_345].map(rateText);
  assert.deepEqual(texts, ['0', '0.1/s', '3.2/s', '10.0/s', '10/s', '412/s', '12,345/s']);
  assert.deepEqual([undefined, 0, 0.5, 0.9999, 1].map(shareText), ['-', '0.0 %', '50.0 %', '99.9 %', '100 %']);
});

test('a history has its highest number as a full bar', () => {
  assert.match(sparkline([0, 5, 10]), /▁▅█ {2}at most 10\/s$/);
  assert.match(sparkline([0, 0]), /▁▁ {2}at most 0$/);
  assert.match(sparkline([]), /^ +at most 0$/);
});
