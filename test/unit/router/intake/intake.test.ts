import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Level } from 'level';
import { Store, type StoreOperation } from '#cluster/store.ts';
import { CHUNK_BYTES } from '#services/router/contract.ts';
import { Intake } from '#services/router/intake/intake.ts';
import type { SearchIndex } from '#services/router/receipts/search-index.ts';
import { Rules } from '#services/router/rules/rules.ts';
import { Bodies } from '#services/router/store/bodies.ts';
import type { Message } from '#services/router/store/message.ts';
import { keys, putBytes } from '#services/router/store/records.ts';
import { Space } from '#services/router/store/space.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import {
  aloneCopies,
  codeOf,
  commitFields,
  envelope,
  indexOf,
  messageOf,
  NO_REPORTS,
  ORIGIN,
  settingsFor,
} from '#test/unit/router/fixture.ts';

type Bench = { intake: Intake; store: Store; index: SearchIndex; messages: Message[]; free: (bytes: number) => void };

async function withIntake(work: (bench: Bench) => Promise<void>): Promise<void> {
  await using folder = await tempDir();
  const settings = settingsFor(folder.path, { queue: { reserve: '1MB' } });
  const store = await Store.open(folder.path, silentLogger);
  let free = 2 ** 40;
  const space = new Space(
    folder.path,
    () => settings.current.queue.reserve,
    () => free,
  );
  const messages: Message[] = [];
  const bodies = new Bodies(store);
  const index = await indexOf(store);
  const copies = await aloneCopies(settings, store, index);
  const deliver = (message: Message): void => void messages.push(message);
  const common = { settings, log: silentLogger, store, space, bodies, index, rules: new Rules(settings) };
  const intake = new Intake({ ...common, writer: copies.sender, reports: NO_REPORTS, deliver });
  await work({
    intake,
    store,
    index,
    messages,
    free: (bytes) => {
      free = bytes;
    },
  });
  await store.close();
}

const open = (intake: Intake, sizeHint = 0) =>
  intake.open(envelope(['bob@peer.example']), ORIGIN, sizeHint, { trace: 'TRACE' });
const MESSAGE = messageOf(1000);
const FIELDS = commitFields(MESSAGE);

async function keysOf(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.keys({})) keys.push(key.replace(/![0-9A-Z]{16}/, ''));
  return keys;
}

test('a message of one piece is not on disk before its commit, and complete after it', () =>
  withIntake(async ({ intake, store, messages }) => {
    const { id } = open(intake);
    assert.deepEqual(await keysOf(store), []);
    await intake.commit({ transfer: id, sequence: 0, ...FIELDS }, MESSAGE);
    assert.deepEqual(await keysOf(store), ['body!00000', 'message', 'recipient!00000']);
    assert.equal(messages.length, 1);
    assert.deepEqual(messages[0]?.body, MESSAGE);
    assert.equal(intake.size, 0);
  }));

test('the pieces of a longer one are on disk when they are answered, marked until the commit', () =>
  withIntake(async ({ intake, store }) => {
    const { id } = open(intake);
    await intake.chunk(id, 0, MESSAGE.subarray(0, 400));
    assert.deepEqual(await keysOf(store), ['body!00000', 'transfer']);
    // Not waited for one by one: a listener keeps a few under way.
    await Promise.all([intake.chunk(id, 1, MESSAGE.subarray(400, 600)), intake.chunk(id, 2, new Uint8Array(0))]);
    await intake.commit({ transfer: id, sequence: 3, ...FIELDS }, MESSAGE.subarray(600));
    const pieces = ['body!00000', 'body!00001', 'body!00002'];
    assert.deepEqual(await keysOf(store), [...pieces, 'message', 'recipient!00000']);
  }));

test('what does not fit together is refused, and leaves nothing', () =>
  withIntake(async ({ intake, store, messages }) => {
    const commit = { sequence: 0, ...FIELDS };
    assert.equal(await codeOf(intake.commit({ transfer: 'NONE', ...commit }, MESSAGE)), 'unknown-transfer');
    assert.equal(await codeOf(intake.chunk('NONE', 0, MESSAGE)), 'unknown-transfer');
    const { id } = open(intake);
    assert.equal(await codeOf(intake.chunk(id, 1, MESSAGE)), 'out-of-order');
    assert.equal(await codeOf(intake.commit({ transfer: id, ...commit, sequence: 2 }, MESSAGE)), 'out-of-order');
    // The transfer is still what it was.
    await intake.chunk(id, 0, MESSAGE.subarray(0, 500));
    assert.equal(await codeOf(intake.chunk(id, 0, MESSAGE.subarray(0, 500))), 'out-of-order');
    assert.equal(await codeOf(intake.commit({ transfer: id, ...commit, sequence: 1 }, MESSAGE)), 'malformed');
    assert.equal(await codeOf(intake.commit({ transfer: id, ...commit, sequence: 1 }, MESSAGE)), 'unknown-transfer');
    const large = open(intake);
    await intake.chunk(large.id, 0, MESSAGE);
    assert.equal(await codeOf(intake.chunk(large.id, 1, Buffer.alloc(CHUNK_BYTES + 1))), 'too-large');
    const wrong = open(intake);
    const facts = { ...FIELDS.facts, headerBytes: FIELDS.facts.size + 1 };
    assert.equal(await codeOf(intake.commit({ transfer: wrong.id, ...commit, facts }, MESSAGE)), 'malformed');
    await waitFor(async () => (await keysOf(store)).length === 0, { what: 'an empty store' });
    assert.deepEqual(messages, []);
    assert.equal(intake.size, 0);
  }));

/** Writes wait until `go` is called, as on a disk that hangs. */
function hangingDisk(store: Store): { go: () => void } {
  const write = store.write.bind(store);
  const { promise, resolve } = Promise.withResolvers<void>();
  mock.method(store, 'write', async (operations: StoreOperation[]) => {
    await promise;
    return write(operations);
  });
  return { go: resolve };
}

for (const pieces of [1, 2]) {
  test(`a commit of ${pieces} pieces that is slower than its caller waits is not refused and delivered all the same`, () =>
    withIntake(async ({ intake, store, messages }) => {
      const { id, queueId } = open(intake);
      if (pieces === 2) await intake.chunk(id, 0, MESSAGE.subarray(0, 500));
      const disk = hangingDisk(store);
      const last = MESSAGE.subarray(pieces === 2 ? 500 : 0);
      const commit = intake.commit({ transfer: id, sequence: pieces - 1, ...FIELDS }, last);
      assert.equal(intake.abort(id), true, 'the abort wins');
      disk.go();
      assert.equal(await codeOf(commit), 'unknown-transfer');
      await waitFor(async () => (await keysOf(store)).length === 0, { what: `nothing of ${queueId} on disk` });
      assert.deepEqual(messages, []);
    }));
}

test('an abort that comes after the commit is told so', () =>
  withIntake(async ({ intake, messages }) => {
    const { id } = open(intake);
    let late: boolean | undefined;
    const push = messages.push.bind(messages);
    // The commit has taken effect, and its answer is not out yet.
    messages.push = (message) => {
      late = intake.abort(id);
      return push(message);
    };
    await intake.commit({ transfer: id, sequence: 0, ...FIELDS }, MESSAGE);
    assert.equal(late, false);
    assert.equal(messages.length, 1);
    assert.equal(intake.abort(id), undefined);
  }));

test('an aborted transfer, and one whose listener went silent, leave nothing', () =>
  withIntake(async ({ intake, store }) => {
    const aborted = open(intake);
    await intake.chunk(aborted.id, 0, MESSAGE);
    intake.abort(aborted.id);
    intake.abort(aborted.id);
    const silent = open(intake);
    await intake.chunk(silent.id, 0, MESSAGE);
    intake.sweep(performance.now() + 9 * 60_000);
    assert.equal(intake.size, 1);
    intake.sweep(performance.now() + 11 * 60_000);
    assert.equal(intake.size, 0);
    await waitFor(async () => (await keysOf(store)).length === 0, { what: 'an empty store' });
    assert.equal(await codeOf(intake.chunk(silent.id, 1, MESSAGE)), 'unknown-transfer');
  }));

test('no room: full, at whichever step it shows, and nothing is left on disk', () =>
  withIntake(async ({ intake, store, free }) => {
    const MB = 2 ** 20;
    const [first, second] = [open(intake), open(intake)];
    await intake.chunk(first.id, 0, MESSAGE);
    free(MB);
    await waitFor(() => intake.refusal(), { what: 'a refusal' });
    assert.equal(await codeOf(() => open(intake)), 'full');
    assert.equal(await codeOf(intake.chunk(first.id, 1, MESSAGE)), 'full');
    assert.equal(await codeOf(intake.commit({ transfer: second.id, sequence: 0, ...FIELDS }, MESSAGE)), 'full');
    await waitFor(async () => (await keysOf(store)).length === 0, { what: 'an empty store' });
    free(3 * MB);
    await waitFor(() => intake.refusal() === undefined, { what: 'room' });
    assert.equal(await codeOf(() => open(intake, 2 * MB)), 'full', 'larger than the room there is');
    assert.equal(await codeOf(() => open(intake, MB)), undefined);
  }));

for (const [reason, code] of [
  ['IO error: 000003.log: No space left on device', 'full'],
  ['IO error: 000003.log: Input/output error', 'not-accepting'],
] as const) {
  test(`a commit that the disk refuses is answered ${code}, and is not found when the disk works again`, () =>
    withIntake(async ({ intake, store, messages }) => {
      const { id } = open(intake);
      await intake.chunk(id, 0, MESSAGE.subarray(0, 500));
      // The batch reaches the disk, and its answer is an error all the same: the worst case.
      const batch = Level.prototype.batch as unknown as (...args: unknown[]) => Promise<void>;
      const broken = mock.method(Level.prototype, 'batch', async function (this: unknown, ...args: unknown[]) {
        await batch.apply(this, args);
        throw Object.assign(new Error(reason), { code: 'LEVEL_IO_ERROR' });
      });
      const commit = { transfer: id, sequence: 1, ...FIELDS };
      assert.equal(await codeOf(intake.commit(commit, MESSAGE.subarray(500))), code);
      broken.mock.restore();
      assert.equal(await codeOf(() => open(intake)), code);
      await waitFor(() => store.failure === undefined, { what: 'the store to work' });
      await waitFor(async () => (await keysOf(store)).length === 0, { what: 'an empty store' });
      assert.deepEqual(messages, []);
      assert.equal(await codeOf(() => open(intake)), undefined);
    }));
}

test('a refused message without a single byte is not found either when the disk works again', () =>
  withIntake(async ({ intake, store, messages }) => {
    const { id } = open(intake);
    const batch = Level.prototype.batch as unknown as (...args: unknown[]) => Promise<void>;
    const broken = mock.method(Level.prototype, 'batch', async function (this: unknown, ...args: unknown[]) {
      await batch.apply(this, args);
      throw Object.assign(new Error('IO error: no answer'), { code: 'LEVEL_IO_ERROR' });
    });
    const nothing = new Uint8Array(0);
    const commit = { transfer: id, sequence: 0, ...commitFields(nothing) };
    assert.equal(await codeOf(intake.commit(commit, nothing)), 'not-accepting');
    broken.mock.restore();
    await waitFor(() => store.failure === undefined, { what: 'the store to work' });
    await waitFor(async () => (await keysOf(store)).length === 0, { what: 'an empty store' });
    assert.deepEqual(messages, []);
  }));

test('a router that is about to stop begins no transfer, and brings to its end what has begun', () =>
  withIntake(async ({ intake, messages }) => {
    const transfer = open(intake);
    intake.close();
    assert.equal(await codeOf(() => open(intake)), 'not-accepting');
    let emptied = false;
    const ended = intake.emptied(10_000).then(() => {
      emptied = true;
    });
    await intake.chunk(transfer.id, 0, MESSAGE.subarray(0, 100));
    assert.equal(emptied, false);
    await intake.commit({ transfer: transfer.id, sequence: 1, ...FIELDS }, MESSAGE.subarray(100));
    await ended;
    assert.deepEqual([messages.length, intake.size], [1, 0]);
  }));

test('a router that stops takes no new mail', () =>
  withIntake(async ({ intake }) => {
    intake.drain();
    assert.equal(await codeOf(() => open(intake)), 'not-accepting');
  }));

test('a message that came late and was aborted leaves no mark for the index', () =>
  withIntake(async ({ intake, store, index, messages }) => {
    mock.method(index, 'addMessage', ({ id }: Pick<Message, 'id'>) => [putBytes(keys.unindexed(id), Buffer.alloc(0))]);
    const { id } = open(intake);
    const done = intake.commit({ transfer: id, sequence: 0, ...FIELDS }, MESSAGE);
    assert.equal(intake.abort(id), true);
    assert.equal(await codeOf(done), 'unknown-transfer');
    // What was handed to the store before this is on disk when this is.
    await store.write([]);
    assert.deepEqual([await keysOf(store), messages], [[], []]);
  }));
