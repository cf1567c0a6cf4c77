import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { Settings } from '#cluster/config/settings.ts';
import { Store } from '#cluster/store.ts';
import { AuditLog } from '#services/credential-store/audit/audit-log.ts';
import type { AuditEntry } from '#shared/audit/entry.ts';
import { SealpostError } from '#shared/errors.ts';
import { queueIdFloor } from '#shared/ids.ts';
import { logLines } from '#test/kit/log-lines.ts';
import { tempDir } from '#test/kit/temp.ts';

/** The audit log of a node on disk. */

const START = Date.UTC(2026, 10, 30);
const MINUTE = 60_000;
const DAY = 86_400_000;

async function opened(body: (made: Awaited<ReturnType<typeof tools>>) => Promise<void>): Promise<void> {
  const made = await tools();
  try {
    await body(made);
  } finally {
    made.log.close();
    await made.store.close();
    await made.folder[Symbol.asyncDispose]();
  }
}

async function tools() {
  const folder = await tempDir();
  const { log: logger, lines } = logLines();
  const store = await Store.open(folder.path, logger);
  const settings = new Settings(ConfigSchema.parse({}));
  const log = new AuditLog({ store, settings, log: logger });
  return { folder, store, settings, lines, log };
}

let made = 0;

/** The id is made of the time, as in the service that writes; ids of the past begin with it. */
function entry(at: number, more: Partial<AuditEntry> = {}): AuditEntry {
  // An id of the future would have all that this process makes afterwards come after it.
  const id = queueIdFloor(at) + String(made++).padStart(7, '0');
  const what = { by: 'root on edge-1', node: 'edge-1', service: 'credential-store', operation: 'key-create' };
  return { id, at, ...what, about: 's1 of example.com', outcome: 'done', ...more };
}

test('entries come newest first, and are found by person, words and time', () =>
  opened(async ({ log }) => {
    const now = Date.now();
    const all = [
      entry(now, { about: 's1 of example.com' }),
      entry(now + 10, {
        by: 'Alice on desk',
        operation: 'key-revoke',
        about: 's1 of example.com',
        outcome: 'last-key',
      }),
      entry(now + 20, { service: 'router', operation: 'queue-change', about: 'hold: domain Example.net' }),
    ];
    for (const one of all) await log.append(one);
    const found = async (search: Parameters<typeof log.page>[0]) =>
      (await log.page(search)).entries.map(({ at }) => at - now);
    assert.deepEqual(await found({}), [20, 10, 0]);
    assert.deepEqual(await found({ by: 'alice' }), [10]);
    assert.deepEqual(await found({ about: 'example.net' }), [20]);
    assert.deepEqual(await found({ about: 'key-REVOKE' }), [10]);
    assert.deepEqual(await found({ about: 'router' }), [20]);
    assert.deepEqual(await found({ since: now + 5 }), [20, 10]);
    assert.deepEqual(await found({ until: now + 10 }), [10, 0]);
    assert.deepEqual(await found({ by: 'nobody' }), []);
    assert.deepEqual((await log.page({})).entries[1], all[1]);
  }));

test('the same again within a minute is counted', () =>
  opened(async ({ log }) => {
    const now = Date.now();
    const hold = { service: 'router', operation: 'queue-change', about: 'hold: all mail' };
    for (const after of [0, 1000, 30_000, 80_000]) {
      await log.append(entry(now + after, { ...hold, node: 'edge-1' }));
      await log.append(entry(now + after, { ...hold, node: 'edge-2' }));
    }
    await log.append(entry(now + 80_000 + MINUTE + 1, { ...hold, node: 'edge-1' }));
    const { entries } = await log.page({});
    const seen = entries.map(({ node, at, times, until }) => [node, at - now, times, until && until - now]);
    assert.deepEqual(seen, [
      ['edge-1', 80_000 + MINUTE + 1, undefined, undefined],
      ['edge-2', 0, 4, 80_000],
      ['edge-1', 0, 4, 80_000],
    ]);
  }));

test('what is not the same is another entry, and the same id is one', () =>
  opened(async ({ log }) => {
    const now = Date.now();
    const first = entry(now);
    for (const one of [first, first, entry(now + 1, { outcome: 'exists' }), entry(now + 2, { by: 'bob' })]) {
      await log.append(one);
    }
    assert.deepEqual(
      (await log.page({})).entries.map(({ times }) => times),
      [undefined, undefined, undefined],
    );
  }));

test('pages follow each other without a gap, also where few of many fit', () =>
  opened(async ({ log, store }) => {
    const now = Date.now();
    const all = Array.from({ length: 6000 }, (_, n) => entry(now + n, { about: n % 1000 === 0 ? 'rare' : `${n}` }));
    await store.persist(
      all.map((one) => ({ type: 'put', key: `audit!${one.id}`, value: Buffer.from(JSON.stringify(one)) })),
    );
    for (const [search, expected] of [
      [{}, 6000],
      [{ about: 'rare' }, 6],
    ] as const) {
      const seen: string[] = [];
      let before: string | undefined;
      do {
        const page = await log.page({ ...search, ...(before !== undefined && { before }) });
        assert.ok(page.entries.length <= 200);
        seen.push(...page.entries.map(({ id }) => id));
        before = page.next;
      } while (before !== undefined);
      assert.equal(new Set(seen).size, expected);
      assert.deepEqual(seen, seen.toSorted().reverse());
    }
  }));

test('what is older than audit.keep goes', () =>
  opened(async ({ log, store }) => {
    const old = entry(START - 401 * DAY);
    const young = entry(START - 399 * DAY);
    // Their ids must be those of the past.
    const put = (one: AuditEntry, id: string) =>
      store.persist([{ type: 'put', key: `audit!${id}`, value: Buffer.from(JSON.stringify({ ...one, id })) }]);
    const { queueIdFloor } = await import('#shared/ids.ts');
    await put(old, `${queueIdFloor(old.at)}0000000`);
    await put(young, `${queueIdFloor(young.at)}0000000`);
    await log.purge(START);
    assert.deepEqual(
      (await log.page({})).entries.map(({ at }) => at),
      [young.at],
    );
  }));

test('a damaged entry is left out, and said', () =>
  opened(async ({ log, store, lines }) => {
    await log.append(entry(Date.now()));
    await store.persist([
      { type: 'put', key: 'audit!A', value: Buffer.from('{') },
      { type: 'put', key: 'audit!B', value: Buffer.from('{"id":"B"}') },
    ]);
    assert.equal((await log.page({})).entries.length, 1);
    const said = lines().filter(({ msg }) => msg === 'an entry of the audit log cannot be read: it is left out');
    assert.equal(said.length, 2);
  }));

test('what is written stays as it is: an id that is taken is refused', () =>
  opened(async ({ log }) => {
    const first = entry(Date.now());
    await log.append(first);
    await assert.rejects(log.append({ ...first, by: 'somebody else' }), { code: 'malformed' });
    await assert.rejects(log.append({ ...first, at: first.at - DAY }), { code: 'malformed' });
    assert.deepEqual((await log.page({})).entries, [first]);
  }));

test('what goes on for long is found from any time on', () =>
  opened(async ({ log }) => {
    const now = Date.now();
    for (let n = 0; n <= 180; n++) await log.append(entry(now + n * MINUTE));
    const { entries } = await log.page({ since: now + 170 * MINUTE });
    assert.equal(entries.length, 1);
    const { entries: all } = await log.page({});
    assert.deepEqual(
      all.map(({ at, until = at, times = 1 }) => [(at - now) / MINUTE, (until - now) / MINUTE, times]),
      [
        [122, 180, 59],
        [61, 121, 61],
        [0, 60, 61],
      ],
    );
    assert.deepEqual((await log.page({ since: now + 181 * MINUTE })).entries, []);
  }));

test('a user of the bus makes so many entries and no more', () =>
  opened(async ({ log, lines }) => {
    const now = Date.now();
    const append = (n: number, caller?: string) => log.append(entry(now, { about: `${n}` }), caller);
    const all = Array.from({ length: 10_000 }, (_, n) => append(n, `_INBOX_listener.credential-store.${n % 7}`));
    await Promise.all(all);
    await assert.rejects(append(10_000, '_INBOX_listener.credential-store.8'), { code: 'busy' });
    await append(10_001, '_INBOX_router.credential-store.1');
    await append(10_002);
    assert.equal(lines().filter(({ msg }) => /there are too many/.test(String(msg))).length, 1);
  }));

test('a store that fails says so immediately, and counts nothing twice', () =>
  opened(async ({ log, store }) => {
    const now = Date.now();
    await log.append(entry(now));
    const { write } = store;
    store.write = () => Promise.reject(new SealpostError('store-failed', 'no space left'));
    await assert.rejects(log.append(entry(now + 1)), { code: 'store-failed' });
    store.write = write;
    await log.append(entry(now + 2));
    assert.deepEqual(
      (await log.page({})).entries.map(({ times }) => times),
      [2],
    );
  }));
