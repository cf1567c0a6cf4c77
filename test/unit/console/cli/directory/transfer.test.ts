import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchesOf } from '#services/console/cli/directory/transfer.ts';
import type { EntryImport } from '#shared/directory/entries.ts';

test('an import of large groups goes in requests that NATS carries', () => {
  const members = Array.from({ length: 8000 }, (_, i) => `member-${i}@a-rather-long-name.example`);
  const groups = Array.from({ length: 20 }, (_, i): EntryImport => {
    return { kind: 'group', name: `g${i}`, addresses: [], members: i % 2 === 0 ? members : [] };
  });
  const batches = [...batchesOf(groups)];
  assert.deepEqual(batches.flat(), groups);
  for (const batch of batches) assert.ok(Buffer.byteLength(JSON.stringify(batch)) < 800_000);
});

test('an import of many small entries goes a hundred at a time', () => {
  const aliases = Array.from({ length: 250 }, (_, i): EntryImport => {
    return { kind: 'alias', address: `a${i}@x.test`, targets: ['b@x.test'] };
  });
  assert.deepEqual(
    [...batchesOf(aliases)].map(({ length }) => length),
    [100, 100, 50],
  );
});
