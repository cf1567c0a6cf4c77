import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeStore } from '#test/kit/dkim/fake-credential-store.ts';

/** `sealpost keys repair` against a credential-store that answers as the test says. */

const holders = ['edge-1', 'edge-1'].map((node, i) => ({
  ...{ node, kind: 'credential-store' as const, instance: `${node} ${i}`, revision: 7, heard: 100, clock: 0, neks: [] },
}));
const found = { record: 'example.com', found: true, from: 'edge-2', version: 12 };
const lost = { record: 'a.example', found: false, version: 1 };

test('all that a node refused is written again, and what nobody has is said; each node is asked once', async () => {
  let asked = 0;
  await using store = await fakeStore({
    'status-show': () => ({ node: 'edge-1', state: 'following', revision: 7, keys: 3, holders }),
    'record-repair': ({ domain }) => {
      assert.equal(domain, undefined);
      asked++;
      return { repaired: [found, lost] };
    },
  });
  const { code, stdout, stderr } = await store.run('keys', 'repair');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^example\.com: written again from the copy of node edge-2, version 12$/m);
  assert.match(stdout, /^a\.example: no node has an authentic record/m);
  assert.equal(asked, 1);
});

test('the repair of a domain fails where no node has an authentic record, and says what to do', async () => {
  await using store = await fakeStore({ 'record-repair': () => ({ repaired: [lost] }) });
  const { code, stderr } = await store.run('keys', 'repair', 'a.example');
  assert.equal(code, 1);
  assert.match(stderr, /no node has an authentic record of a\.example: restore a backup of the data, or make new keys/);
});
