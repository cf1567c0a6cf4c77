import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extended, type Known, recentShare } from '#services/console/page/pages/overview/figures.ts';
import { verdictOf } from '#services/console/page/pages/overview/verdict.ts';
import type { Alarm, History, Overview } from '#services/console/schemas/overview.ts';

type Node = Overview['nodes'][number];

const node = (name: string, state: Node['state'] = 'up'): Node => ({ name, state, processes: [] });

function moment(at: number, delivered: number, more: Partial<Overview> = {}): Overview {
  const rates = { accepted: delivered, refused: 0, putOff: 0, delivered, sent: delivered / 2, deferred: 0, failed: 0 };
  const shares = delivered === 0 ? {} : { signed: 0.5, encrypted: 1 };
  const total = { rates, ...shares, queue: { active: 0, deferred: 0, hold: 0 }, sessions: 0 };
  return { at, node: 'edge-1', nodes: [node('edge-1'), node('edge-2')], total, alarms: [], ...more };
}

const NOTHING: History = {
  at: [],
  accepted: [],
  refused: [],
  putOff: [],
  delivered: [],
  sent: [],
  deferred: [],
  failed: [],
  signed: [],
  encrypted: [],
};

function known(...moments: Overview[]): Known {
  const [first = moment(0, 0), ...rest] = moments;
  return rest.reduce<Known>(extended, extended({ now: { ...first, at: first.at - 1 }, history: NOTHING }, first));
}

test('the history grows by later moments, to ten minutes', () => {
  const { history } = known(moment(1000, 5), moment(2000, 0), moment(2000, 9), moment(1500, 9));
  assert.deepEqual(history.at, [1000, 2000]);
  assert.deepEqual(history.delivered, [5, 0]);
  assert.deepEqual(history.signed, [0.5, null]);
  const long = known(...Array.from({ length: 700 }, (_, i) => moment(i * 1000, 1)));
  assert.equal(long.history.at.length, 600);
  assert.equal(long.history.failed.length, 600);
  assert.equal(long.history.at.at(-1), 699_000);
});

test('a clock that was set back begins a new history', () => {
  const { now, history } = known(moment(100_000, 5), moment(101_000, 5), moment(20_000, 7));
  assert.equal(now.at, 20_000);
  assert.deepEqual(history.at, [20_000]);
  assert.deepEqual(history.delivered, [7]);
});

test('a moment of which nothing is known has no figures', () => {
  const { total: _, ...unknown } = moment(2000, 0);
  assert.deepEqual(known(moment(1000, 5), unknown).history.accepted, [5, null]);
});

test('a share is that of the mail, not of the seconds', () => {
  const all = moment(2000, 90);
  const { history } = known(moment(1000, 10), { ...all, total: all.total && { ...all.total, signed: 1 } });
  assert.equal(recentShare(history, 'signed', 60_000), (10 * 0.5 + 90) / 100);
  assert.equal(recentShare(history, 'signed', 500), 1);
  assert.equal(recentShare(history, 'encrypted', 60_000), 1);
  assert.equal(recentShare({ ...history, sent: [0, 0] }, 'encrypted', 60_000), undefined);
  assert.equal(recentShare(known(moment(1000, 0)).history, 'signed', 60_000), undefined);
});

const alarm = (severity: Alarm['severity']): Alarm => ({ severity, about: 'x', text: 'y', help: 'z', check: 'c' });

test('the verdict tells the worst there is', () => {
  const said = (more: Partial<Overview>, stale?: number) => {
    const { tone, title } = verdictOf(known(moment(1000, 5, more)), stale);
    return `${tone}: ${title}`;
  };
  assert.equal(said({}), 'good: Nothing needs a hand');
  assert.equal(said({ alarms: [alarm('note')] }), 'good: Nothing needs a hand');
  assert.equal(said({ alarms: [alarm('warning'), alarm('note')] }), 'warn: 1 thing may need a hand');
  assert.equal(said({ alarms: [alarm('error'), alarm('warning')] }), 'bad: 1 thing went wrong');
  const nodes = [node('edge-1'), node('edge-2', 'gone'), node('edge-3', 'silent')];
  assert.equal(said({ nodes, alarms: [alarm('error')] }), 'bad: edge-2 and edge-3 do not answer');
  assert.equal(said({ nodes: [node('edge-1'), node('edge-2', 'stopped')] }), 'good: Nothing needs a hand');
  assert.equal(said({ away: 5000, nodes }), 'bad: edge-1 does not reach NATS');
  assert.equal(said({ nodes }, 7000), 'bad: This page has lost its console');
});

test('the verdict says whether mail flows', () => {
  const text = (...moments: Overview[]) => verdictOf(known(...moments), undefined).text;
  assert.match(text(moment(1000, 5)), /Mail flows/);
  assert.match(text(moment(1000, 0)), /No mail came/);
  const stuck = moment(1000, 0);
  assert.match(
    text({ ...stuck, total: stuck.total && { ...stuck.total, rates: { ...stuck.total.rates, accepted: 3 } } }),
    /none was delivered/,
  );
});
