import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { before, mock, test } from 'node:test';
import { Level } from 'level';
import pino from 'pino';
import { errorCode, errorText } from '#shared/errors.ts';
import type { Logger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { codeOf, envelope, messageOf, OK, readAll, TestRouter } from '#test/unit/router/fixture.ts';

/**
 * Disks that are full, get full, or can no longer be written under a running router: small file systems in memory.
 * What was answered is delivered, what was refused is not, and nothing needs a restart.
 */

let mountable = true;

type Disk = AsyncDisposable & { path: string };

async function smallDisk(megabytes: number): Promise<Disk> {
  const folder = await tempDir('sealpost-disk');
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder.path]);
  return {
    path: folder.path,
    async [Symbol.asyncDispose]() {
      execFileSync('umount', ['-l', folder.path]);
      await folder[Symbol.asyncDispose]();
    },
  };
}

before(async () => {
  try {
    await (await smallDisk(1))[Symbol.asyncDispose]();
  } catch {
    mountable = false;
  }
});

/** Take every byte that is left. Returns the file that has them. */
async function fill(disk: Disk): Promise<string> {
  const path = join(disk.path, 'filler');
  const file = await open(path, 'w');
  for (const size of [1024 * 1024, 4096]) {
    for (;;) {
      const { bytesWritten } = await file.write(Buffer.alloc(size)).catch((error: unknown) => {
        assert.equal(errorCode(error), 'ENOSPC');
        return { bytesWritten: 0 };
      });
      if (bytesWritten < size) break;
    }
  }
  await file.close();
  return path;
}

function memoryLog(): { logger: Logger; has(text: string): boolean } {
  const lines: string[] = [];
  const logger = pino({ level: 'info' }, { write: (line) => void lines.push(line) });
  return { logger, has: (text) => lines.some((l) => l.includes(text)) };
}

/** Send messages of 10 KB from several senders until something is refused `refusals` times. */
async function flood(
  router: TestRouter,
  refusals: number,
): Promise<{ ids: Set<string>; codes: Set<string>; reasons: Set<string> }> {
  const ids = new Set<string>();
  const codes = new Set<string>();
  const reasons = new Set<string>();
  let refused = 0;
  const sender = async (): Promise<void> => {
    while (refused < refusals) {
      try {
        ids.add(await router.send({ envelope: envelope(['bob@peer.example']), message: messageOf(10_000) }));
      } catch (error) {
        codes.add(errorCode(error) ?? String(error));
        reasons.add(errorText(error));
        refused++;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  await Promise.all(Array.from({ length: 10 }, sender));
  return { ids, codes, reasons };
}

/** Deliver everything there is; each message is read whole. Returns the queue ids. */
function deliverAll(router: TestRouter): Set<string> {
  const delivered = new Set<string>();
  const deliver: NonNullable<TestRouter['delivery']['automatic']> = async (given) => {
    const opened = await given.job.open();
    if (!opened.ok) return given.end('deferred', opened.reply, { local: opened.local });
    assert.equal((await readAll(opened)).length, opened.size);
    delivered.add(given.job.queueId);
    await given.end('delivered', OK);
  };
  router.delivery.automatic = deliver;
  for (const given of router.delivery.jobs.splice(0)) void deliver(given);
  return delivered;
}

async function isEmpty(router: TestRouter): Promise<boolean> {
  const { active, deferred } = await router.status();
  return active + deferred === 0;
}

test('mail is refused before the disk is full, and taken again when it has left', async (t) => {
  if (!mountable) return t.skip('needs the right to mount');
  await using disk = await smallDisk(120);
  await using router = await TestRouter.start(disk.path, { config: { queue: { reserve: '64MB' } } });
  const first = await flood(router, 100);
  assert.deepEqual([...first.codes], ['full']);
  assert.ok(first.ids.size > 500, `${first.ids.size} accepted`);
  for (const reason of first.reasons) assert.match(reason, /queue\.reserve|free space in \S+ must stay above 64/);
  const delivered = deliverAll(router);
  await waitFor(() => isEmpty(router), { what: 'an empty queue', timeout: 30_000 });
  assert.deepEqual(delivered, first.ids);
  // LevelDB keeps deleted mail for long; where room is needed, the router asks it for the space of all of it.
  const { queue } = router.settings.current;
  router.settings.replace({ ...router.settings.current, queue: { ...queue, reserve: 112 * 1024 * 1024 } });
  await waitFor(async () => (await router.status()).refusing === undefined, { what: 'room', timeout: 30_000 });
  router.settings.replace({ ...router.settings.current, queue });
  const more = await flood(router, 1);
  assert.ok(more.ids.size > 500, `${more.ids.size} accepted the second time`);
});

test('a disk that others fill to the last byte: refusals, no loss, and work goes on without a restart', async (t) => {
  if (!mountable) return t.skip('needs the right to mount');
  await using disk = await smallDisk(20);
  const log = memoryLog();
  await using router = await TestRouter.start(disk.path, { config: { queue: { reserve: '2MB' } }, log: log.logger });
  const before = await flood(router, 20);
  const filler = await fill(disk);
  // The outcomes of these deliveries have no room: they wait, and are not forgotten.
  const delivered = deliverAll(router);
  await waitFor(() => log.has('store failed'), { what: 'a failure of the store', timeout: 20_000 });
  const during = await flood(router, 50);
  for (const code of [...before.codes, ...during.codes]) assert.match(code, /^(full|not-accepting)$/);
  await rm(filler);
  await waitFor(() => isEmpty(router), { what: 'an empty queue', timeout: 60_000 });
  assert.deepEqual(delivered, new Set([...before.ids, ...during.ids]));
  await waitFor(async () => (await router.status()).refusing === undefined, { what: 'room', timeout: 30_000 });
  await waitFor(async () => (await flood(router, 1)).ids.size > 100, { what: 'mail taken again', timeout: 30_000 });
  assert.equal((await router.status()).damage, undefined, 'what was written halfway is no damage');
});

test('a disk that is full of what a compaction left, because it was full: the next start makes room', async (t) => {
  if (!mountable) return t.skip('needs the right to mount');
  await using disk = await smallDisk(20);
  const config = { queue: { reserve: '0B' } };
  const first = await TestRouter.start(disk.path, { config });
  const ids: string[] = [];
  for (let n = 0; n < 50; n++) {
    ids.push(await first.send({ envelope: envelope(['bob@peer.example']), message: messageOf(10_000) }));
  }
  await first.stop();
  await rename(await fill(disk), join(disk.path, 'queue', '000900.ldb'));
  await using router = await TestRouter.start(disk.path, { config });
  const delivered = deliverAll(router);
  await waitFor(() => isEmpty(router), { what: 'an empty queue' });
  assert.deepEqual(delivered, new Set(ids));
});

test('a router that stops while its store fails has everything it answered at the next start', async (t) => {
  if (!mountable) return t.skip('needs the right to mount');
  await using disk = await smallDisk(20);
  const log = memoryLog();
  const first = await TestRouter.start(disk.path, { config: { queue: { reserve: '0B' } }, log: log.logger });
  // The disk fills up under the load, between two looks at the free space.
  const flooding = flood(first, 200);
  await waitFor(async () => (await first.status()).active > 200, { what: 'some mail' });
  const filler = await fill(disk);
  const { ids, codes } = await flooding;
  for (const code of codes) assert.match(code, /^(full|not-accepting)$/);
  assert.ok(log.has('store failed'));
  await first.stop();
  await rm(filler);
  await using router = await TestRouter.start(disk.path);
  const delivered = deliverAll(router);
  await waitFor(() => isEmpty(router), { what: 'an empty queue', timeout: 60_000 });
  for (const id of ids) assert.ok(delivered.has(id), `${id} was answered and is not there`);
  const { corrupt, damage } = await router.status();
  assert.deepEqual([corrupt, damage], [0, undefined]);
});

test('a folder in which no file can be made: refusals, and work goes on when it can', async (t) => {
  await using folder = await tempDir();
  const queue = join(folder.path, 'queue');
  await using router = await TestRouter.start(folder.path);
  try {
    execFileSync('chattr', ['+i', queue], { stdio: 'ignore' });
  } catch {
    return t.skip('needs chattr, a file system that knows it, and root');
  }
  let ids: Set<string>;
  try {
    // LevelDB goes on in the log file that it has open, until that is full and the next one cannot be made.
    const flooded = await flood(router, 20);
    ids = flooded.ids;
    assert.deepEqual([...flooded.codes], ['not-accepting']);
    assert.match((await router.status()).refusing ?? '', /cannot write/);
  } finally {
    execFileSync('chattr', ['-i', queue]);
  }
  const delivered = deliverAll(router);
  await waitFor(() => isEmpty(router), { what: 'an empty queue', timeout: 60_000 });
  assert.deepEqual(delivered, ids);
  assert.equal(await codeOf(router.send({ envelope: envelope(['bob@peer.example']) })), undefined);
});

test('a stop does not wait for ever for a disk that stays broken; the mail is sent again afterwards', async () => {
  await using folder = await tempDir();
  const log = memoryLog();
  const first = await TestRouter.start(folder.path, { log: log.logger });
  const queueId = await first.send({ envelope: envelope(['bob@peer.example']) });
  const given = await first.delivery.next();
  await given.content();
  const broken = mock.method(Level.prototype, 'batch', async () => {
    throw Object.assign(new Error('IO error: Input/output error'), { code: 'LEVEL_IO_ERROR' });
  });
  const ended = given.end('delivered', OK);
  first.delivery.stop = () => ended;
  await first.stop();
  await ended;
  broken.mock.restore();
  assert.ok(log.has('could not be recorded'));
  await using second = await TestRouter.start(folder.path);
  assert.equal((await second.delivery.next()).job.queueId, queueId);
});
