import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mock, test } from 'node:test';
import { Level } from 'level';
import { openStore } from '#services/credential-store/open-store.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';

const put = { type: 'put', key: 'map!record!domain!example.com', value: Buffer.from('a key') } as const;

/** A store that LevelDB does not open, neither before a repair nor after it, until it is disposed of. */
async function unrepairable(folder: string): Promise<Disposable> {
  const store = await openStore(folder, silentLogger, true);
  await store.write([put]);
  await store.close();
  await writeFile(join(folder, 'DAMAGED'), '');
  const { open } = Level.prototype;
  const mocked = mock.method(Level.prototype, 'open', async function (this: { location: string }, options: object) {
    if (!existsSync(join(this.location, 'DAMAGED'))) return open.call(this as never, options);
    throw Object.assign(new Error('Corruption: nothing is right'), { code: 'LEVEL_CORRUPTION' });
  });
  return { [Symbol.dispose]: () => mocked.mock.restore() };
}

test('in a cluster, credentials that cannot be repaired are put aside, and an empty store waits for the others', async () => {
  await using dir = await tempDir();
  const folder = join(dir.path, 'credentials');
  {
    using _damaged = await unrepairable(folder);
    const store = await openStore(folder, silentLogger, false);
    assert.equal(await store.get(put.key), undefined);
    await store.close();
  }
  const [aside] = (await readdir(dirname(folder))).filter((name) => name.startsWith('credentials.damaged-'));
  const kept = await openStore(join(dir.path, aside ?? ''), silentLogger, true);
  assert.deepEqual(await kept.get(put.key), put.value);
  await kept.close();
});

test('a single node does not begin without the keys that it had: it says what to do', async () => {
  await using dir = await tempDir();
  const folder = join(dir.path, 'credentials');
  using _damaged = await unrepairable(folder);
  await assert.rejects(openStore(folder, silentLogger, true), {
    code: 'store-damaged',
    message: /cannot be repaired: stop the node and restore .*credentials from a backup/,
  });
  assert.deepEqual(await readdir(dir.path), ['credentials']);
});
