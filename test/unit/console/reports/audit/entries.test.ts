import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findEntries } from '#services/console/reports/audit/entries.ts';
import type { Clients } from '#services/console/reports/clients.ts';
import { newQueueId } from '#shared/ids.ts';

/** The audit log of a cluster, some nodes of which are away. */

const member = (node: string, state: 'up' | 'gone', services = ['credential-store', 'router']) => ({
  ...{ node, state, services },
});

test('of nodes that are gone it is said that what they have written down is not there', async () => {
  const members = [
    ...[member('edge-1', 'up'), member('edge-1', 'gone'), member('edge-2', 'gone'), member('edge-2', 'gone')],
    ...[member('edge-3', 'gone', ['listener']), member('edge-4', 'up')],
  ];
  const entry = { id: newQueueId(), at: 0, by: 'root', node: 'edge-1', service: 's', operation: 'o', about: 'a' };
  const entries = [{ ...entry, outcome: 'done' }];
  const clients = {
    client: () => ({
      'member-list': async () => ({ members }),
      'audit-list': async (_: unknown, { node }: { node: string }) => ({ node, entries }),
    }),
  } as unknown as Clients;
  const found = await findEntries(clients, {}, 10);
  assert.deepEqual(found.entries, entries);
  assert.deepEqual(
    found.silent.map(({ node, error }) => [node, (error as { code: string }).code]),
    [['edge-2', 'unavailable']],
  );
});
