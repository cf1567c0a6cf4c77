import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Store } from '#cluster/store.ts';
import { idRange } from '#services/router/receipts/ids.ts';
import { keepReceipt } from '#services/router/receipts/kept.ts';
import { conditionsOf } from '#services/router/receipts/query.ts';
import { BLOCK_TERMS, SearchIndex } from '#services/router/receipts/search-index.ts';
import { keys, putJson, rangeOf } from '#services/router/store/records.ts';
import { SealpostError } from '#shared/errors.ts';
import { queueIdFloor } from '#shared/ids.ts';
import { type Logger, silentLogger } from '#shared/log.ts';
import { type LogLine, logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2038, 0, 1);
/** With the sender, the Message-ID and the domains that makes 256 terms. A block is written when there are enough for two. */
const RECIPIENTS = 250;
const IN_BLOCK = BLOCK_TERMS / 256;

const receiptOf = (id: string) => ({
  ...{ reversePath: `${id}@sender.example`, messageId: `<${id}@sender.example>`, finished: START },
  recipients: Array.from({ length: RECIPIENTS }, (_, n) => ({ recipient: { address: `r${n}.${id}@peer.example` } })),
});

/** Receipts in a store, and the index of them, which can be opened again as after a crash: nothing is told to it before. */
class Site implements AsyncDisposable {
  readonly store: Store;
  readonly ids: string[] = [];
  readonly #log: Logger;
  index: SearchIndex;

  private constructor(store: Store, log: Logger, index: SearchIndex) {
    this.store = store;
    this.#log = log;
    this.index = index;
  }

  static async open(path: string, log = silentLogger): Promise<Site> {
    const store = await Store.open(path, silentLogger);
    return new Site(store, log, await SearchIndex.open({ store, log }));
  }

  async crash(): Promise<void> {
    const before = this.index;
    this.index = await SearchIndex.open({ store: this.store, log: this.#log });
    await before.stop();
  }

  /** Write receipts, one for each hour from a time on, or those with these ids. */
  async write(count: number, from = START, ids = Array.from({ length: count }, (_, n) => idAt(from + n * HOUR))) {
    for (const id of ids) {
      const receipt = receiptOf(id);
      await this.store.write([putJson(keys.receipt(id), receipt), ...this.index.add(id, receipt)]);
      this.ids.push(id);
    }
    return ids;
  }

  /** What a search has to read. */
  async candidates(to: string, below?: string): Promise<string[]> {
    const range = idRange(undefined, undefined, below);
    const found = await Array.fromAsync(this.index.ids(conditionsOf({ to }), range));
    return found.flatMap(({ ids }) => ids);
  }

  async find(to: string, below?: string): Promise<string[]> {
    const ids = (await this.candidates(to, below)).filter((id) => to === 'peer.example' || to.includes(id));
    const there = await this.store.getMany(ids.flatMap((id) => [keys.receipt(id), keys.receiptCopy(id)]));
    return ids.filter((_, n) => there[2 * n] !== undefined || there[2 * n + 1] !== undefined);
  }

  async keys(kind: string): Promise<string[]> {
    return Array.fromAsync(this.store.keys(rangeOf(kind)));
  }

  /** The blocks that are on disk. */
  async blocks(count: number): Promise<string[]> {
    return waitFor(async () => ((await this.keys('index')).length >= count ? this.keys('index') : undefined), {
      what: `${count} blocks`,
    });
  }

  /** Every receipt is found, each once and the newest first, and by what it alone has. */
  async assertAll(): Promise<void> {
    const newest = this.ids.toSorted().reverse();
    assert.deepEqual(await this.find('peer.example'), newest);
    for (const id of this.ids.filter((_, n) => n % 16 === 0))
      assert.deepEqual(await this.find(`r7.${id}@peer.example`), [id]);
    const middle = newest[newest.length >> 1] ?? '';
    assert.deepEqual(await this.find('peer.example', middle), newest.slice((newest.length >> 1) + 1));
    assert.deepEqual(await this.find('nobody@peer.example'), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.index.stop();
    await this.store.close();
  }
}

let serial = 0;
/** An id of that time, whichever were made before. */
const idAt = (time: number): string => queueIdFloor(time) + String(serial++).padStart(7, '0');

async function withSite(work: (site: Site, lines: () => LogLine[]) => Promise<void>): Promise<void> {
  await using folder = await tempDir();
  const { log, lines } = logLines();
  await using site = await Site.open(folder.path, log);
  await work(site, lines);
}

test('receipts are found in memory, in blocks, while a start reads them, and after each of many crashes', () =>
  withSite(async (site) => {
    for (let n = 0; n < 8; n++) {
      await site.write(IN_BLOCK / 2, START + n * 100 * HOUR);
      await site.assertAll();
      await site.crash();
      await site.assertAll();
      await site.index.read;
      await site.assertAll();
    }
    assert.equal((await site.blocks(3)).length, 3);
    assert.deepEqual(await site.keys('unindexed'), []);
    // Nothing but the newest is looked at one by one.
    assert.deepEqual(await site.candidates(`r7.${site.ids[0]}@peer.example`), [site.ids[0]]);
  }));

test('ids that are older than the last block are found, after a crash too, until they are a block of their own', () =>
  withSite(async (site) => {
    await site.write(2 * IN_BLOCK + 1);
    await site.blocks(1);
    const late = await site.write(10, START + HOUR / 2);
    // A receipt of another node, of mail that waited there.
    const [copy = ''] = [idAt(START)];
    await site.store.write(keepReceipt(site.index, copy, JSON.stringify(receiptOf(copy)), 'edge-2'));
    site.ids.push(copy);
    assert.deepEqual(await site.keys('unindexed'), [copy, ...late].toSorted().map(keys.unindexed));
    await site.assertAll();
    for (let crash = 0; crash < 2; crash++) {
      await site.crash();
      await site.assertAll();
      await site.index.read;
      await site.assertAll();
    }
    await site.write(IN_BLOCK - late.length - 1, START + HOUR / 3);
    await site.blocks(2);
    assert.deepEqual(await site.keys('unindexed'), []);
    await site.assertAll();
    await site.crash();
    await site.assertAll();
    // The same id again, as of mail that was taken over twice, joins no block that has it.
    await site.write(0, START, late);
    site.ids.splice(-late.length);
    assert.equal((await site.keys('unindexed')).length, late.length);
    await site.assertAll();
  }));

test('a page of the newest reads no block of late messages that are older', () =>
  withSite(async (site) => {
    await site.write(4 * IN_BLOCK + 1);
    await site.blocks(3);
    await site.write(IN_BLOCK + 1, START + HOUR / 2);
    await site.blocks(4);
    const get = mock.method(site.store, 'get');
    for await (const { ids } of site.index.ids(conditionsOf({ to: 'peer.example' }), idRange(undefined, undefined)))
      if (ids.length > 0) break;
    assert.equal(get.mock.callCount(), 0);
  }));

test('very many late messages of few terms are found', () =>
  withSite(async (site) => {
    await site.write(2 * IN_BLOCK + 1);
    await site.blocks(1);
    const of = (id: string) => ({ reversePath: '', messageId: id, finished: START, recipients: [] });
    const ids = Array.from({ length: 70_000 }, (_, n) => idAt(START + n));
    const operations = ids.flatMap((id) => site.index.add(id, of(id)));
    await site.store.write(operations);
    await waitFor(async () => (await site.keys('unindexed')).length < 10_000, { what: 'blocks of them' });
    for (const id of [ids[0], ids[3], ids[4463], ids[65_535], ids[65_536], ids.at(-1)] as string[]) {
      const found = site.index.ids(conditionsOf({ messageId: id }), idRange(undefined, undefined));
      const all = (await Array.fromAsync(found)).flatMap((some) => some.ids);
      assert.ok(all.includes(id), id);
    }
  }));

test('what comes while a block is written counts as late, and is found after a crash before or after that', () =>
  withSite(async (site) => {
    await site.write(2 * IN_BLOCK - 1);
    const { promise: onDisk, resolve } = Promise.withResolvers<void>();
    const persist = mock.method(site.store, 'persist', async (...args: Parameters<Store['persist']>) => {
      await onDisk;
      return Store.prototype.persist.apply(site.store, args);
    });
    await site.write(1, START + 1000 * HOUR);
    await waitFor(() => persist.mock.callCount() === 1, { what: 'the block to be written' });
    persist.mock.restore();
    const late = await site.write(3, START + HOUR / 2);
    assert.deepEqual(await site.keys('unindexed'), late.map(keys.unindexed));
    await site.assertAll();
    const before = site.index;
    await site.crash();
    await site.index.read;
    await site.assertAll();
    site.index = before;
    resolve();
    await site.blocks(1);
    await site.assertAll();
    await site.crash();
    await site.index.read;
    await site.assertAll();
  }));

test('searches miss nothing while receipts come and blocks are written', () =>
  withSite(async (site) => {
    let done = false;
    const writing = (async () => {
      for (let n = 0; n < 12; n++) {
        await site.write(IN_BLOCK / 4, START + n * 1000 * HOUR);
        await site.write(IN_BLOCK / 4, START - n * HOUR);
      }
      done = true;
    })();
    let searches = 0;
    while (!done) {
      const written = [...site.ids];
      const found = new Set(await site.find('peer.example'));
      assert.deepEqual(
        written.filter((id) => !found.has(id)),
        [],
      );
      searches++;
      await nextTurn();
    }
    await writing;
    assert.ok(searches > 5);
    await site.assertAll();
    assert.ok((await site.blocks(3)).some((key) => key.split('!').length === 4));
  }));

for (const [what, harm] of [
  ['damaged', (value: Buffer) => value.fill(7, 100, 101)],
  ['lost', () => undefined],
] as const)
  test(`of a block that is ${what} all is found, one by one`, () =>
    withSite(async (site, lines) => {
      await site.write(4 * IN_BLOCK + 1);
      await site.blocks(3);
      // And one of late ones.
      await site.write(IN_BLOCK + 1, START + HOUR / 2);
      const blocks = await site.blocks(4);
      const ofLate = blocks.find((key) => key.split('!').length === 4) ?? '';
      for (const key of [blocks.filter((one) => one !== ofLate)[2] ?? '', ...(what === 'damaged' ? [ofLate] : [])]) {
        const value = harm((await site.store.get(key)) ?? Buffer.alloc(0));
        await site.store.write([value === undefined ? { type: 'del', key } : { type: 'put', key, value }]);
      }
      await site.assertAll();
      await site.crash();
      await site.index.read;
      await site.assertAll();
      const told = lines().filter(({ level, msg }) => level === 'error' && msg.includes('is damaged'));
      // Each once, by either index.
      assert.equal(told.length, what === 'damaged' ? 4 : 0);
    }));

test('blocks go when they are old and nothing of theirs is left', () =>
  withSite(async (site) => {
    await site.write(6 * IN_BLOCK + 1);
    const blocks = await site.blocks(5);
    const end = START + 1e6 * HOUR;
    const purge = (until: number): Promise<void> => site.index.purge(until, () => false);
    await purge(end);
    assert.deepEqual(await site.keys('index'), blocks);
    const gone = site.ids.splice(0, 2 * IN_BLOCK + 1);
    // One message waits for long.
    const kept = gone.splice(IN_BLOCK + 3, 1);
    site.ids.push(...kept);
    await site.store.write(gone.map((id) => ({ type: 'del', key: keys.receipt(id) })));
    await purge(START);
    assert.deepEqual(await site.keys('index'), blocks);
    await purge(end);
    assert.deepEqual(await site.keys('index'), blocks.slice(1));
    await site.assertAll();
    await site.store.write(kept.map((id) => ({ type: 'del', key: keys.receipt(id) })));
    site.ids.pop();
    await purge(end);
    assert.deepEqual(await site.keys('index'), blocks.slice(2));
    await site.crash();
    await site.index.read;
    await site.assertAll();
  }));

test('a start that cannot read the index makes it anew', () =>
  withSite(async (site, lines) => {
    await site.write(4 * IN_BLOCK + 1);
    await site.blocks(3);
    await site.write(3, START + HOUR / 2);
    const read = mock.method(site.store, 'keys', async function* (range: Parameters<Store['keys']>[0]) {
      if (range.gte === 'unindexed!') throw new SealpostError('store-damaged', 'a bad entry in a block');
      yield* Store.prototype.keys.call(site.store, range);
    });
    await site.crash();
    // Not late for the new index, and in no block of the old one.
    await site.write(3, START + HOUR / 4);
    await site.assertAll();
    await site.index.read;
    await site.assertAll();
    assert.deepEqual(
      lines().flatMap(({ level, msg }) => (level === 'error' ? [msg] : [])),
      ['the index of messages and receipts cannot be read: it is made anew, and searches take longer until then'],
    );
    read.mock.restore();
    await site.crash();
    await site.index.read;
    await site.assertAll();
  }));

test('receipts that a start cannot read are left to searches, and those that come are written as blocks', () =>
  withSite(async (site, lines) => {
    const [first = ''] = await site.write(5);
    const isThere = (range: Parameters<Store['keys']>[0]): boolean => range.gte !== `receipt!` && range.limit === 100;
    const read = mock.method(site.store, 'keys', async function* (range: Parameters<Store['keys']>[0]) {
      if (!range.reverse && isThere(range)) throw new SealpostError('store-damaged', 'a bad entry in a block');
      yield* Store.prototype.keys.call(site.store, range);
    });
    await site.crash();
    await site.index.read;
    assert.equal(lines().filter(({ msg }) => msg.startsWith('some messages or receipts cannot be read')).length, 1);
    read.mock.restore();
    assert.deepEqual(await site.find(`r7.${first}@peer.example`), [first]);
    await site.write(2 * IN_BLOCK + 1, START + 100 * HOUR);
    await site.blocks(1);
    await site.assertAll();
    await site.crash();
    await site.index.read;
    await site.assertAll();
  }));

test('a damaged receipt is among what every search has to look at', () =>
  withSite(async (site) => {
    const [bad = '', good = ''] = await site.write(2);
    const sealed = (await site.store.get(keys.receipt(bad))) ?? Buffer.alloc(0);
    await site.store.write([{ type: 'put', key: keys.receipt(bad), value: sealed.fill(7, 40, 41) }]);
    await site.crash();
    await site.index.read;
    assert.deepEqual(await site.candidates(`r7.${good}@peer.example`), [good, bad]);
    assert.deepEqual(await site.candidates('nobody@peer.example'), [bad]);
  }));
