import assert from 'node:assert/strict';
import { test } from 'node:test';
import { disagreeing } from '#services/credential-store/driver/agreement.ts';
import type { DnsView } from '#shared/keys/key-status.ts';

/** What two nodes see: `ns1:ok ns2:unreachable`; the verdict of a view is the first that is not ok. */
const view = (node: string, seen: string) => {
  const servers = seen.split(' ').map((word) => {
    const [host = '', verdict = ''] = word.split(':');
    return { server: `${host} (${node})`, host, verdict, detail: verdict };
  });
  const verdict = (servers.find((s) => s.verdict !== 'ok')?.verdict ?? 'ok') as DnsView['verdict'];
  return { node, view: { node, verdict, summary: seen, servers, at: 0 } };
};

const CASES: [what: string, first: string, second: string, disagrees: string | undefined][] = [
  ['all are right', 'ns1:ok ns2:ok', 'ns1:ok ns2:ok', undefined],
  ['what one node cannot reach, the other does', 'ns1:ok ns2:unreachable', 'ns1:ok ns2:ok', undefined],
  ['each reaches what the other does not', 'ns1:unreachable ns2:ok', 'ns1:ok ns2:unreachable', undefined],
  ['nobody reaches one', 'ns1:ok ns2:unreachable', 'ns1:ok ns2:unreachable', 'edge-1'],
  ['the other finds it without the key', 'ns1:ok ns2:unreachable', 'ns1:ok ns2:missing', 'edge-1'],
  ['an answer without the key counts, whatever the other sees', 'ns1:ok ns2:ok', 'ns1:ok ns2:missing', 'edge-2'],
  ['a broken server is not an unreachable one', 'ns1:ok ns2:error', 'ns1:ok ns2:ok', 'edge-1'],
];
for (const [what, first, second, disagrees] of CASES) {
  test(`a name server that one node cannot reach does not hold keys that another node sees there: ${what}`, () =>
    assert.equal(disagreeing([view('edge-1', first), view('edge-2', second)], ['ok'])?.node, disagrees));
}

test('a view without name servers, or of a version that does not name them, counts as it is', () => {
  const right = view('edge-2', 'ns1:ok');
  const failed: DnsView = { node: 'edge-1', verdict: 'error', summary: '', servers: [], at: 0 };
  assert.equal(disagreeing([{ node: 'edge-1', view: failed }, right], ['ok'])?.node, 'edge-1');
  const [server] = view('edge-1', 'ns1:unreachable').view.servers;
  const { host: _, ...unnamed } = server ?? { server: '', host: '', verdict: '', detail: '' };
  const old: DnsView = { node: 'edge-1', verdict: 'unreachable', summary: '', servers: [unnamed], at: 0 };
  assert.equal(disagreeing([{ node: 'edge-1', view: old }, right], ['ok'])?.node, 'edge-1');
});

test('a record that an administrator removed instead of emptying it is right too', () => {
  const views = [view('edge-1', 'ns1:missing ns2:unreachable'), view('edge-2', 'ns1:ok ns2:missing')];
  assert.equal(disagreeing(views, ['ok', 'missing']), undefined);
  assert.equal(disagreeing(views, ['ok'])?.node, 'edge-1');
});
