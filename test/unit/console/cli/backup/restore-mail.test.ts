import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import type { Member } from '#cluster/members/member-contract.ts';
import { type MailOptions, MailRestoration } from '#services/console/cli/backup/restore-mail.ts';
import type { Caller } from '#services/console/cli/context.ts';
import { SealpostError } from '#shared/errors.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Which mail of a backup is restored, by what the routers of the cluster say. */

type Router = { state?: 'up' | 'gone'; known?: (ids: readonly string[]) => string[] };

/** A cluster of routers; `asked`: who was asked, in order. */
function cluster(routers: Record<string, Router>) {
  const asked: string[] = [];
  const caller = {
    meet: async () =>
      Object.entries(routers).map(
        ([node, { state = 'up' }]) => ({ node, state, stopped: false, services: ['router'] }) as unknown as Member,
      ),
    client: () => ({
      'message-known': async ({ ids }: { ids: string[] }, { node }: { node: string }) => {
        asked.push(node);
        const { known } = routers[node] ?? {};
        if (known === undefined) throw new SealpostError('store-failed', 'its disk is broken');
        return { node, known: known(ids).map((id) => ({ id, as: 'finished' })) };
      },
    }),
  } as unknown as Caller;
  return { caller, asked };
}

const MESSAGES = new Map([
  ['edge-1', ['A', 'B', 'C']],
  ['edge-2', ['C', 'D']],
]);
const NODES = ['edge-1', 'edge-2'];

/** What would be restored on edge-1: messages by node, and those that are known. */
async function plan(options: Partial<MailOptions>, size = 0) {
  await using dir = await tempDir('restore');
  const config = ConfigSchema.parse({ node: { name: 'edge-1', data: dir.path } });
  const all: MailOptions = {
    ...{
      config,
      mode: 'hold',
      nodes: undefined,
      lost: [],
      dryRun: true,
      owner: undefined,
      caller: undefined,
      trial: false,
    },
    ...options,
  };
  const queues = [{ node: 'edge-1', messages: 3, damaged: [], entries: 9, size, sha256: '' }];
  await using restoration = await MailRestoration.begin(all, { messages: MESSAGES, manifest: { queues } }, NODES);
  const { counts, left } = restoration;
  return { counts: counts.map(({ node, messages, known }) => [node, messages, known.finished]), left };
}

describe('mail of a backup', () => {
  test('is that of the own node, without what was read in another queue later', async () => {
    const { caller } = cluster({ 'edge-2': { known: () => [] } });
    assert.deepEqual(await plan({ caller }), { counts: [['edge-1', 2, 0]], left: ['edge-2'] });
  });

  test('of several nodes is restored once', async () => {
    assert.deepEqual(await plan({ nodes: NODES, lost: ['edge-2'] }), {
      counts: [
        ['edge-1', 2, 0],
        ['edge-2', 2, 0],
      ],
      left: [],
    });
  });

  test('that a router knows of is left out; what is handed on between two answers is met in the second round', async () => {
    let handed = false;
    const { caller, asked } = cluster({
      'edge-2': { known: () => (handed ? ['A'] : []) },
      'edge-3': {
        known: () => {
          handed = true;
          return ['D', 'Z'];
        },
      },
    });
    assert.deepEqual((await plan({ caller, nodes: NODES })).counts, [
      ['edge-1', 1, 1],
      ['edge-2', 1, 1],
    ]);
    assert.deepEqual(asked.slice(0, 4), ['edge-2', 'edge-3', 'edge-2', 'edge-3']);
  });

  for (const [what, options] of [
    ['nobody answers', {}],
    ['a node of the backup is gone', { caller: cluster({ 'edge-3': { known: () => [] } }).caller }],
    [
      'a node that came later is gone',
      { caller: cluster({ 'edge-2': { known: () => [] }, 'edge-4': { state: 'gone' } }).caller },
    ],
    ['a router cannot look', { caller: cluster({ 'edge-2': {} }).caller }],
  ] as [string, Partial<MailOptions>][]) {
    test(`is not restored where ${what}`, async () => {
      await assert.rejects(plan(options), { code: 'node-silent' });
    });
  }

  test('is restored where the disks of those that do not answer are lost', async () => {
    const { caller } = cluster({ 'edge-3': { known: () => ['A'] }, 'edge-4': { state: 'gone' } });
    const { counts } = await plan({ caller, lost: ['edge-2', 'edge-4'] });
    assert.deepEqual(counts, [['edge-1', 1, 1]]);
  });

  test('is not restored while the router runs into whose queue it goes', async () => {
    const { caller } = cluster({ 'edge-1': { known: () => [] }, 'edge-2': { known: () => [] } });
    await assert.rejects(plan({ caller }), { code: 'node-running' });
  });

  test('is not restored where the disk has no room for it', async () => {
    await assert.rejects(plan({ trial: true, dryRun: false }, 1e18), { code: 'full' });
    assert.deepEqual((await plan({ trial: true, dryRun: false }, 1000)).counts, [['edge-1', 2, 0]]);
  });

  test('is asked of nobody in a trial', async () => {
    const { caller, asked } = cluster({ 'edge-1': {}, 'edge-2': {} });
    assert.deepEqual((await plan({ caller, trial: true })).counts, [['edge-1', 2, 0]]);
    assert.deepEqual(asked, []);
  });
});
