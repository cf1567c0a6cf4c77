import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { KnownEmpty } from '#services/credential-store/directory/known-empty.ts';
import type { Holder } from '#shared/keys/holders.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { holder } from '#test/unit/credential-store/neks/fixture.ts';

/** As of a node that has lost its disk and reaches no JetStream. */
const FRESH = { revision: 0, state: 'away', hasFollowed: false } as const;

const hearing = (settled: boolean, ...live: Holder[]) => ({ settled, live: () => live });
const store = (node: string, directory?: number): Holder => ({
  ...holder(node, 'credential-store', []),
  ...(directory !== undefined && { directory }),
});

test('a node that reaches no NATS does not take its own announcements for the word of a cluster without a directory', async () => {
  await using data = await tempDir();
  const disk = await Store.open(data.path, silentLogger);
  try {
    const known = await KnownEmpty.open(disk, FRESH);
    known.listen(false, hearing(true, store('edge-3', 0)));
    assert.equal(known.isKnown, false);
    known.listen(true, hearing(false, store('edge-3', 0)));
    assert.equal(known.isKnown, false);
    known.listen(true, hearing(true, store('edge-3', 0), store('edge-1', 7)));
    assert.equal(known.isKnown, false);
    known.listen(true, hearing(true, store('edge-3', 0), store('edge-1')));
    assert.equal(known.isKnown, true);
  } finally {
    await disk.close();
  }
});
