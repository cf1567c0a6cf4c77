import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Member } from '#cluster/members/member-contract.ts';
import { Minutes } from '#services/console/reports/traffic/minutes.ts';
import { nodesOf } from '#services/console/reports/traffic/nodes.ts';

const member = (changes: Partial<Member>): Member => ({
  ...{ node: 'edge-1', process: 'p1', epoch: 1, state: 'up', services: ['router'], version: '1', contracts: {} },
  ...{ started: 1, config: {}, heard: 500, clock: 0, stopped: false },
  ...changes,
});

describe('the state of a node', () => {
  const stateOf = (members: Partial<Member>[], away?: number, silent: string[] = []): string | undefined =>
    nodesOf(members.map(member), {
      away,
      silent: silent.map((process) => ({ node: 'edge-1', process, services: [], reason: 'timeout' })),
      rates: undefined,
    })[0]?.state;

  for (const [what, members, expected] of [
    ['up', [{}], 'up'],
    ['three heartbeats missed', [{ heard: 3001 }], 'silent'],
    ['gone', [{ heard: 6000, state: 'gone' }], 'gone'],
    ['it said that it stops', [{ state: 'gone', stopped: true }], 'stopped'],
    ['one of two processes is silent', [{}, { process: 'p2', heard: 4000 }], 'partly'],
    ['one of two processes has stopped', [{}, { process: 'p2', state: 'gone', stopped: true }], 'up'],
    ['one of two processes drains', [{}, { process: 'p2', state: 'draining' }], 'draining'],
    ['one of two processes starts', [{}, { process: 'p2', state: 'joining' }], 'joining'],
  ] as const) {
    test(`${what}: ${expected}`, () => assert.equal(stateOf([...members]), expected));
  }

  test('heard, but without an answer: silent', () => assert.equal(stateOf([{}], undefined, ['p1']), 'silent'));
  test('of others unknown while NATS is away, of this process not', () => {
    assert.equal(stateOf([{}], 4000), 'unknown');
    assert.equal(stateOf([{ heard: 0 }], 4000), 'up');
  });
});

test('ten minutes are kept, and a clock that is set back begins anew', () => {
  const counts = {
    accepted: 1,
    refused: 0,
    putOff: 0,
    delivered: 2,
    deferred: 0,
    failed: 0,
    signed: 1,
    sent: 1,
    encrypted: 0,
  };
  const flow = {
    rates: counts,
    signed: 0.5,
    encrypted: undefined,
    queue: { active: 0, deferred: 0, hold: 0 },
    sessions: 0,
  };
  const minutes = new Minutes();
  for (let second = 0; second <= 900; second += 10) minutes.add(second * 1000, flow);
  const { at, accepted, signed, encrypted } = minutes.history();
  assert.deepEqual([at[0], at.at(-1), at.length], [300_000, 900_000, 61]);
  assert.deepEqual([accepted[0], signed[0], encrypted[0]], [1, 0.5, null]);
  minutes.add(5000, flow);
  assert.deepEqual(minutes.history().at, [5000]);
});
