import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Store } from '#cluster/store.ts';
import { keys } from '#services/router/store/records.ts';
import { silentLogger } from '#shared/log.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { envelope, TestRouter } from '#test/unit/router/fixture.ts';

for (const [what, spoil, expected] of [
  [
    'its message record has lost a byte at its end',
    (id: string, value: (key: string) => Promise<Buffer>) => flipped(keys.message(id), value, -2),
    { from: 'alice@sender.example', to: ['a@one.example', 'b@one.example'] },
  ],
  [
    'a recipient is gone',
    async (id: string) => [{ type: 'del' as const, key: keys.recipient(id, 1) }],
    { from: 'alice@sender.example', to: ['a@one.example'] },
  ],
  [
    'only the body is left',
    async (id: string) =>
      [keys.message(id), keys.recipient(id, 0), keys.recipient(id, 1)].map((key) => ({ type: 'del' as const, key })),
    { from: '<alice@sender.example>', to: [] },
  ],
] as const) {
  test(`where ${what}, sender and recipients are named as far as they are known`, async () => {
    await using folder = await tempDir();
    const first = await TestRouter.start(folder.path);
    const id = await first.send({ envelope: envelope(['a@one.example', 'b@one.example']) });
    await first.stop();
    const store = await Store.open(join(folder.path, 'queue'), silentLogger);
    const value = async (key: string): Promise<Buffer> => (await store.get(key)) ?? Buffer.alloc(0);
    await store.write(await spoil(id, value));
    await store.close();
    // Only a store that was mended is searched for bodies that belong to nothing.
    if (expected.to.length === 0) await loseManifest(folder.path);
    const { log, lines } = logLines();
    await using second = await TestRouter.start(folder.path, { log });
    const told = (): unknown => lines().find(({ msg }) => msg.startsWith('message is damaged on disk'));
    await waitFor(told, { what: 'the log to tell it' });
    const { from, to } = told() as { from: string; to: string[] };
    assert.deepEqual({ from, to }, expected);
    assert.deepEqual((await second.status()).damaged, [{ queueId: id, ...expected }]);
    await second.stop();
    await using third = await TestRouter.start(folder.path);
    assert.deepEqual((await third.status()).damaged, [{ queueId: id, ...expected }], 'also after another start');
    await third.service.handlers['message-remove']({ queueId: id, notify: false }, third.context());
    assert.equal((await third.status()).damaged, undefined);
  });
}

async function flipped(key: string, value: (key: string) => Promise<Buffer>, at: number) {
  const bytes = Buffer.from(await value(key));
  const n = bytes.length + at;
  bytes[n] = (bytes[n] ?? 0) ^ 1;
  return [{ type: 'put' as const, key, value: bytes }];
}

async function loseManifest(folder: string): Promise<void> {
  for (const name of await readdir(join(folder, 'queue')))
    if (name.startsWith('MANIFEST')) await rm(join(folder, 'queue', name));
}
