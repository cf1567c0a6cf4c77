import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ReplicatedMap, type ReplicatedMapOptions } from '#cluster/replicated/map.ts';
import type { RecordHistory } from '#cluster/replicated/record.ts';
import { type Standing, standing } from '#cluster/replicated/restore.ts';
import { Store } from '#cluster/store.ts';
import { silentLogger } from '#shared/log.ts';
import { tempDir } from '#test/kit/temp.ts';
import { Note } from '#test/suites/replicated-map.ts';

/** A record with versions `a1`, `a2` … of one history; `b3` is of another one from that version on. */
function history(...ids: string[]): RecordHistory {
  const [writeId = '', ...previous] = ids.toReversed();
  return { key: 'x', version: ids.length, writeId, previous };
}

describe('how a record of a backup stands to the one that is held', () => {
  const long = Array.from({ length: 40 }, (_, n) => `a${n + 1}`);
  const remembered = (ids: string[]): RecordHistory => {
    const all = history(...ids);
    return { ...all, previous: all.previous.slice(0, 15) };
  };
  for (const [what, held, record, expected] of [
    ['nothing is held', undefined, history('a1'), 'missing'],
    ['it is the same', history('a1', 'a2'), history('a1', 'a2'), 'same'],
    ['what is held went on', history('a1', 'a2', 'a3'), history('a1', 'a2'), 'older'],
    ['what is held went back', history('a1'), history('a1', 'a2', 'a3'), 'newer'],
    ['another change of the same version', history('a1', 'b2'), history('a1', 'a2'), 'differs'],
    ['begun anew, and has come less far', history('b1'), history('a1', 'a2', 'a3'), 'differs'],
    ['begun anew, and has come further', history('b1', 'b2', 'b3'), history('a1', 'a2'), 'differs'],
    ['what is held went on for long', remembered(long), history('a1', 'a2'), 'older'],
    ['what is held may have gone back far', history('a1', 'a2'), remembered(long), 'differs'],
  ] as [string, RecordHistory | undefined, RecordHistory, Standing][]) {
    test(what, () => assert.equal(standing(held, record), expected));
  }
});

describe('records of a map and its backup', () => {
  const local = (store: Store): ReplicatedMapOptions<Note> => ({
    ...{ store, prefix: 'map!', bucket: 'notes', schema: Note, node: 'a', log: silentLogger },
    ...{ jetStream: undefined, replicas: 3 },
  });
  const open = async (undo: AsyncDisposableStack) => {
    const dir = undo.use(await tempDir());
    const store = await Store.open(dir.path, silentLogger);
    undo.defer(() => store.close());
    const map = await ReplicatedMap.open(local(store));
    undo.defer(() => map.close());
    return { map, store };
  };
  const all = (map: ReplicatedMap<Note>, bytes: number): string[] => {
    const records: string[] = [];
    let after: string | undefined;
    do {
      const page = map.page(after, bytes);
      assert.ok(page.records.length > 0);
      records.push(...page.records);
      after = page.next;
    } while (after !== undefined);
    return records;
  };

  test('come back as they were, tombstones among them, in pages of any size', async () => {
    await using undo = new AsyncDisposableStack();
    const { map } = await open(undo);
    for (const key of ['b', 'a', 'd', 'c']) await map.update(key, () => ({ text: key }));
    await map.update('a', () => ({ text: 'again' }));
    await map.update('d', () => undefined);
    const records = all(map, 1);
    assert.deepEqual(records, all(map, 1_000_000));
    assert.deepEqual(
      records.map((json) => JSON.parse(json).key),
      ['a', 'b', 'c', 'd'],
    );
    const empty = await open(undo);
    for (const json of records) {
      assert.deepEqual(await empty.map.restore(json, { dryRun: true }), {
        key: JSON.parse(json).key,
        standing: 'missing',
      });
    }
    assert.equal(empty.map.revision, 0);
    for (const json of records) await empty.map.restore(json, { dryRun: false });
    assert.deepEqual(empty.map.entries(), map.entries());
    assert.equal(empty.map.revision, map.revision);
    assert.deepEqual(all(empty.map, 1), records);
    for (const json of records)
      assert.deepEqual(await empty.map.restore(json, { dryRun: false }), {
        key: JSON.parse(json).key,
        standing: 'same',
      });
  });

  test('leave alone what is newer, or was begun anew, and take what was lost', async () => {
    await using undo = new AsyncDisposableStack();
    const { map } = await open(undo);
    await map.update('x', () => ({ text: 'first' }));
    const [early = ''] = all(map, 1000);
    await map.update('x', () => ({ text: 'second' }));
    const [late = ''] = all(map, 1000);
    assert.deepEqual(await map.restore(early, { dryRun: false }), { key: 'x', standing: 'older' });
    assert.equal(map.get('x')?.value.text, 'second');
    const other = await open(undo);
    await other.map.restore(early, { dryRun: false });
    assert.deepEqual(await other.map.restore(late, { dryRun: false }), { key: 'x', standing: 'newer' });
    assert.equal(other.map.get('x')?.value.text, 'second');
    const anew = await open(undo);
    await anew.map.update('x', () => ({ text: 'anew' }));
    assert.deepEqual(await anew.map.restore(late, { dryRun: false }), { key: 'x', standing: 'differs' });
    assert.equal(anew.map.get('x')?.value.text, 'anew');
    await map.update('x', () => undefined);
    assert.deepEqual(await map.restore(late, { dryRun: false }), { key: 'x', standing: 'older' });
    assert.equal(map.get('x'), undefined);
  });

  test('are refused with a reason where they are none, or cannot be read', async () => {
    await using undo = new AsyncDisposableStack();
    const { map } = await open(undo);
    const refused = async (json: string) => {
      const outcome = await map.restore(json, { dryRun: false });
      return 'refused' in outcome ? outcome.refused : assert.fail('it was taken');
    };
    assert.match(await refused('{'), /not a record/);
    assert.match(await refused('{"schema":1}'), /not a record/);
    await map.update('x', () => ({ text: 'a' }));
    const [json = ''] = all(map, 1000);
    const changed = (members: object) => JSON.stringify({ ...JSON.parse(json), key: 'y', ...members });
    assert.match(await refused(changed({ value: { other: 1 } })), /newer Sealpost/);
    assert.match(await refused(changed({ version: 2 ** 45 })), /higher than any/);
    assert.equal(map.entries().length, 1);
  });
});
