import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCurrent } from '#cluster/leveldb/current.ts';
import { parseFileList } from '#cluster/leveldb/file-list.ts';
import { Store } from '#cluster/store.ts';
import { keys } from '#services/router/store/records.ts';
import { silentLogger } from '#shared/log.ts';
import { seededRandom } from '#test/kit/random.ts';
import { tempDir } from '#test/kit/temp.ts';
import { codeOf, envelope, messageOf, TestRouter } from '#test/unit/router/fixture.ts';

/** Queue this many messages and stop; answers their ids. */
async function queued(folder: string, count: number, size: number): Promise<string[]> {
  const router = await TestRouter.start(folder);
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    ids.push(await router.send({ envelope: envelope([`r${n}@one.example`]), message: messageOf(size) }));
  }
  await router.stop();
  return ids;
}

async function newestLog(folder: string): Promise<string> {
  const queue = join(folder, 'queue');
  const files = (await readdir(queue)).filter((name) => name.endsWith('.log')).sort();
  return join(queue, files.at(-1) ?? '');
}

/** The largest table in use. */
async function largestTable(folder: string): Promise<string> {
  // A router that stops while LevelDB writes a table leaves it unfinished, and what it holds in the log: the next start
  // makes tables of all logs before it serves.
  await (await TestRouter.start(folder)).stop();
  const queue = join(folder, 'queue');
  const list = parseFileList(await readFile(join(queue, (await readCurrent(queue)) ?? '')));
  const [largest] = [...(list?.tables ?? [])].sort(([, a], [, b]) => b - a);
  return join(queue, `${String(largest?.[0]).padStart(6, '0')}.ldb`);
}

test('thirty flipped bits in the log cost at most the thirty messages that they are in, and these are set aside and told', async () => {
  await using folder = await tempDir();
  const ids = await queued(folder.path, 150, 2000);
  const log = await newestLog(folder.path);
  const bytes = await readFile(log);
  const any = seededRandom(3);
  for (let n = 0; n < 30; n++) {
    const at = Math.floor(any() * bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(any() * 8));
  }
  await writeFile(log, bytes);

  await using router = await TestRouter.start(folder.path);
  const status = await router.status();
  assert.equal(status.damage?.length, 1);
  assert.ok(status.corrupt > 0 && status.corrupt <= 30, `${status.corrupt} set aside`);
  // A body is looked at when it is sent.
  const whole = status.active + status.deferred;
  assert.ok(whole + status.corrupt + (status.damage?.[0]?.names.length ?? 0) >= ids.length, `${whole} whole`);
  assert.ok(whole >= ids.length - 30, `${whole} whole`);
});

test('mail of a table that is cut off is told, what is left of it is set aside, and the rest goes on', async () => {
  await using folder = await tempDir();
  const ids = await queued(folder.path, 60, 60_000);
  const table = await largestTable(folder.path);
  await truncate(table, (await stat(table)).size >> 1);
  await using router = await TestRouter.start(folder.path);
  const { damage, active, corrupt, refusing } = await router.status();
  assert.equal(refusing, undefined);
  const [told, ...more] = damage ?? [];
  assert.equal(more.length, 0);
  assert.match(told?.what ?? '', /\.ldb has \d+ of \d+ bytes/);
  // The bodies are in front: what is left of them is set aside, and the piece that was cut through is named.
  assert.ok(active > 0 && corrupt > 10 && active + corrupt < ids.length, `${active} active, ${corrupt} set aside`);
  assert.equal(told?.names.length, 1);
  for (const name of told?.names ?? []) {
    assert.ok(ids.includes(name), name);
    assert.equal(await codeOf(router.show(name)), 'not-found');
  }
  const fresh = await router.send({ envelope: envelope(['new@one.example']) });
  assert.equal((await router.show(fresh)).entry.queueId, fresh);
});

test('a message of which only the body is left is set aside', async () => {
  await using folder = await tempDir();
  const [id = ''] = await queued(folder.path, 1, 2000);
  const store = await Store.open(join(folder.path, 'queue'), silentLogger);
  await store.write([keys.message(id), keys.recipient(id, 0)].map((key) => ({ type: 'del', key })));
  await store.close();
  for (const list of await readdir(join(folder.path, 'queue'))) {
    if (list.startsWith('MANIFEST')) await rm(join(folder.path, 'queue', list));
  }
  await using router = await TestRouter.start(folder.path);
  assert.equal((await router.status()).corrupt, 1);
});
