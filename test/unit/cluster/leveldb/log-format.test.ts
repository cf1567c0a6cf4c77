import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { BLOCK, readLog, writeLog } from '#cluster/leveldb/log-format.ts';
import { Store } from '#cluster/store.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';

/** Records of all sizes: empty, below and above a block, and such that blocks end with 0 to 7 bytes to spare. */
const SIZES = [0, 1, 100, BLOCK - 7, BLOCK - 8, 3 * BLOCK, 20_000, 12_748, BLOCK - 14 - 6, 5, 70_000, 3000];
const PAYLOADS = SIZES.map((size, n) => Buffer.alloc(size, `record ${n} `));

test('a log is read back as it was written', () => {
  const { records, sound, lost, unfinished } = readLog(writeLog(PAYLOADS));
  assert.deepEqual([sound, lost, unfinished], [true, [], []]);
  assert.deepEqual(
    records.map((record) => record.payload),
    PAYLOADS,
  );
});

test('what LevelDB writes is read, and written again byte by byte', async () => {
  await using folder = await tempDir();
  const store = await Store.open(folder.path, silentLogger);
  for (const [n, value] of PAYLOADS.entries()) await store.write([{ type: 'put', key: `k${n}`, value }]);
  await store.close();
  const file = (await readdir(folder.path)).find((name) => name.endsWith('.log'));
  const bytes = await readFile(join(folder.path, file ?? ''));
  const { records, sound } = readLog(bytes);
  assert.deepEqual([records.length, sound], [PAYLOADS.length, true]);
  assert.ok(writeLog(records.map((record) => record.payload)).equals(bytes));
});

test('a flipped bit costs at most the record that it is in, wherever it is', () => {
  const bytes = writeLog(PAYLOADS);
  // Every bit of every head is among them: heads are where records and blocks begin.
  const places = new Set(Array.from({ length: bytes.length / 4999 }, (_, n) => n * 4999));
  for (let at = 0, n = 0; n < PAYLOADS.length; n++) {
    for (let byte = 0; byte < 16; byte++) places.add(at + byte);
    at += (PAYLOADS[n]?.length ?? 0) + 7;
  }
  for (let block = 0; block < bytes.length; block += BLOCK) for (let n = 0; n < 8; n++) places.add(block + n);
  for (const at of places) {
    if (at >= bytes.length) continue;
    for (const bit of [1, 16, 128]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ bit;
      const found = readLog(damaged);
      const whole = PAYLOADS.filter((payload) => found.records.some((r) => r.intact && r.payload.equals(payload)));
      const about = `bit ${bit} of byte ${at}`;
      assert.ok(whole.length >= PAYLOADS.length - 1, `${about}: ${whole.length} of ${PAYLOADS.length}`);
      if (whole.length < PAYLOADS.length) assert.equal(found.sound, false, about);
    }
  }
});

test('a sector that is gone costs the records in it; what is in front of it and behind it is there', () => {
  const payloads = Array.from({ length: 200 }, (_, n) => Buffer.alloc(900, `record ${n} `));
  const bytes = writeLog(payloads);
  for (const sector of [Buffer.alloc(4096), Buffer.alloc(4096, 0xff), Buffer.alloc(4096, 'another file ')]) {
    const damaged = Buffer.from(bytes);
    sector.copy(damaged, 40_960);
    const { records, sound } = readLog(damaged);
    const intact = records.filter((record) => record.intact);
    assert.ok(intact.length >= 200 - 6, `${intact.length}`);
    assert.ok(intact.some((record) => record.payload.equals(payloads.at(-1) ?? Buffer.alloc(0))));
    assert.equal(sound, false);
  }
});

test('a record that was never finished, and room that was never used, are no damage', () => {
  const bytes = writeLog(PAYLOADS);
  for (const cut of [1, 6, 7, 8, 500, 2999]) {
    const { records, sound, lost } = readLog(bytes.subarray(0, bytes.length - cut));
    assert.deepEqual([records.length, sound, lost], [PAYLOADS.length - 1, true, []], `${cut} bytes less`);
  }
  const { records, sound } = readLog(Buffer.concat([bytes, Buffer.alloc(100_000)]));
  assert.deepEqual([records.length, sound], [PAYLOADS.length, true]);
  const zeroed = Buffer.from(bytes);
  zeroed.fill(0, zeroed.length - 1000);
  assert.deepEqual([readLog(zeroed).records.length, readLog(zeroed).sound], [PAYLOADS.length - 1, true]);
});
