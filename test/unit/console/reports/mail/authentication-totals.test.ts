import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Member } from '#cluster/members/member-contract.ts';
import type { Cluster } from '#services/console/reports/clients.ts';
import { authenticationTotals, rowsBy, sumOfTotals } from '#services/console/reports/mail/authentication-totals.ts';
import { SealpostError } from '#shared/errors.ts';
import { newQueueId } from '#shared/ids.ts';
import type {
  AuthenticationPage,
  AuthenticationRequest,
  AuthenticationTotal,
} from '#shared/mail/reports/authentication-totals.ts';

/** The authentication results of several nodes as one. */

const NONE = { spfPass: 0, spfFail: 0, dkimPass: 0, dkimFail: 0, dmarcPass: 0, dmarcFail: 0, quarantine: 0 };
const total = (domain: string, source: string, more: Partial<AuthenticationTotal> = {}): AuthenticationTotal => ({
  ...{ ...NONE, domain, source, messages: 1, last: 5, ...more },
});

type Answer = (request: AuthenticationRequest) => AuthenticationPage | Promise<AuthenticationPage>;

function clusterOf(nodes: Readonly<Record<string, Answer | 'gone'>>): Cluster {
  const members = Object.entries(nodes).map(([node, answer]) => ({
    ...{ node, services: ['router'], state: answer === 'gone' ? 'gone' : 'up', stopped: false },
  }));
  const router = {
    'authentication-summarize': async (request: AuthenticationRequest, { node }: { node: string }) => {
      const answer = nodes[node];
      if (typeof answer !== 'function') throw new Error(`${node} was asked`);
      return answer(request);
    },
  };
  return {
    client: () => router as never,
    meet: async () => members as unknown as Member[],
  };
}

const never = new AbortController().signal;

test('pages and nodes are added up', async () => {
  const cluster = clusterOf({
    'edge-1': ({ below }) =>
      below === undefined
        ? { totals: [total('a.test', '::1', { spfPass: 1, last: 9 })], unreadable: 1, next: newQueueId() }
        : { totals: [total('a.test', '::1', { dmarcFail: 1 })], unreadable: 0 },
    'edge-2': () => ({ totals: [total('a.test', '::2'), total('b.test', '::2')], unreadable: 1 }),
  });
  const { totals, ...found } = await authenticationTotals(cluster, { since: 0 }, never);
  assert.deepEqual(found, { unreadable: 2, silent: [] });
  assert.deepEqual(rowsBy('domain', totals), [
    { ...NONE, name: 'a.test', messages: 3, spfPass: 1, dmarcFail: 1, last: 9, others: 2 },
    { ...NONE, name: 'b.test', messages: 1, last: 5, others: 1, other: '::2' },
  ]);
  assert.deepEqual(
    rowsBy('source', totals).map(({ name, messages, other }) => [name, messages, other]),
    [
      ['::1', 2, 'a.test'],
      ['::2', 2, undefined],
    ],
  );
  assert.equal(sumOfTotals(totals).messages, 4);
  assert.equal(sumOfTotals([]).messages, 0);
});

test('a node of an earlier version, and one that is silent, are named and the others counted', async () => {
  const cluster = clusterOf({
    'edge-1': () => ({ totals: [total('a.test', '::1')], unreadable: 0 }),
    'edge-2': () => Promise.reject(new SealpostError('unavailable', 'nobody serves it')),
    'edge-3': 'gone',
  });
  const { totals, silent } = await authenticationTotals(cluster, { since: 0 }, never);
  assert.equal(totals.length, 1);
  assert.deepEqual(silent.map(({ node }) => node).toSorted(), ['edge-2', 'edge-3']);
  assert.match(silent.find(({ node }) => node === 'edge-2')?.error ?? '', /earlier version/);
});

test('where it is stopped, it says how far it came', async () => {
  const [early, late] = [Date.now() - 5000, Date.now() - 1000];
  const upTo = (at: number): Answer => {
    const next = newQueueId(at);
    return () => ({ totals: [], unreadable: 0, next });
  };
  const cluster = clusterOf({ 'edge-1': upTo(early), 'edge-2': upTo(late) });
  const { readSince } = await authenticationTotals(cluster, { since: 0 }, AbortSignal.abort());
  assert.ok(readSince !== undefined && readSince >= late, `${readSince}`);
});
