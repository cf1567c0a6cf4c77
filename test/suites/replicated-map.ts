import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import type { ReplicatedMap } from '#cluster/replicated/map.ts';
import type { Store } from '#cluster/store.ts';

/** What every replicated map is asked to do, alone or in a cluster. */

export const Note = z.object({ text: z.string(), tags: z.array(z.string()).optional() });
export type Note = z.infer<typeof Note>;

export type MapFixture = AsyncDisposable & {
  /** A map without records, working. */
  map: ReplicatedMap<Note>;
  store: Store;
  /** Close it, and open it again with the same store. */
  reopen(): Promise<ReplicatedMap<Note>>;
};

const to = (text: string) => () => ({ text });

export function mapSuite(name: string, start: () => Promise<MapFixture>): void {
  describe(`replicated map: ${name}`, () => {
    test('a record is made, changed, deleted and made again; its version counts on', async () => {
      await using fixture = await start();
      const { map } = fixture;
      assert.deepEqual([map.get('a'), map.entries(), map.revision], [undefined, [], 0]);
      assert.deepEqual(await map.update('a', to('one')), { value: { text: 'one' }, version: 1, revision: 1 });
      assert.deepEqual(map.get('a'), { key: 'a', version: 1, value: { text: 'one' } });
      const seen: unknown[] = [];
      const changed = await map.update('a', (current, key) => {
        seen.push(current, key);
        return { text: `${current?.text}+two` };
      });
      assert.deepEqual(changed, { value: { text: 'one+two' }, version: 2, revision: 2 });
      assert.deepEqual(seen, [{ text: 'one' }, 'a']);
      assert.deepEqual(await map.update('a', () => undefined), { value: undefined, version: 3, revision: 3 });
      assert.deepEqual([map.get('a'), map.entries(), map.revision], [undefined, [], 3]);
      assert.deepEqual(await map.update('a', (now) => ({ text: `${now}` })), {
        ...{ value: { text: 'undefined' }, version: 4, revision: 4 },
      });
    });

    test('what changes nothing makes no version', async () => {
      await using fixture = await start();
      const { map } = fixture;
      const heard: unknown[] = [];
      await map.update('a', to('one'));
      map.onChange((keys) => heard.push(keys));
      assert.deepEqual(await map.update('a', (now) => now), { value: { text: 'one' }, version: 1, revision: 1 });
      assert.deepEqual(await map.update('b', () => undefined), { value: undefined, version: 0, revision: 1 });
      const gaveUp = new RangeError('no');
      await assert.rejects(
        map.update('a', () => {
          throw gaveUp;
        }),
        gaveUp,
      );
      assert.deepEqual([map.revision, heard], [1, []]);
    });

    test('invalid values are refused', async () => {
      await using fixture = await start();
      const { map } = fixture;
      const bad = { text: 1 } as unknown as Note;
      await assert.rejects(
        map.update('a', () => bad),
        { code: 'invalid-record', message: /the record a: .*text/s },
      );
      await assert.rejects(map.update('a', to('x'.repeat(600_000))), { code: 'too-large' });
      assert.deepEqual(map.entries(), []);
      await map.update('a', () => ({ text: 'one', tags: ['x'] }));
      const value = map.get('a')?.value;
      assert.throws(() => value?.tags?.push('y'), TypeError);
    });

    test('any key is a key, and they are in order', async () => {
      await using fixture = await start();
      const keys = ['domain!example.com', 'a..b.', '*', '>', 'a b', 'ü=41', 'A', 'a', '='];
      for (const key of keys) await fixture.map.update(key, to(key));
      const expected = keys.toSorted().map((key) => ({ key, version: 1, value: { text: key } }));
      assert.deepEqual(fixture.map.entries(), expected);
      const again = await fixture.reopen();
      assert.deepEqual([again.entries(), again.revision], [expected, keys.length]);
    });

    test('listeners hear changes until they stop, and a broken one harms no other', async () => {
      await using fixture = await start();
      const { map } = fixture;
      const heard: string[] = [];
      map.onChange(() => {
        throw new Error('a broken listener');
      });
      const stop = map.onChange((keys) => heard.push(...keys.map((k) => `${k}${map.get(k)?.version ?? '-'}`)));
      await map.update('a', to('one'));
      await map.update('a', () => undefined);
      stop();
      await map.update('b', to('two'));
      assert.deepEqual(heard, ['a1', 'a-']);
    });

    test('concurrent changes are made one after the other', async () => {
      await using fixture = await start();
      const { map } = fixture;
      const count = (now: Note | undefined) => ({ text: String(Number(now?.text ?? 0) + 1) });
      const made = await Promise.all(Array.from({ length: 50 }, () => map.update('n', count)));
      assert.deepEqual(
        made.map(({ version }) => version),
        Array.from({ length: 50 }, (_, i) => i + 1),
      );
      assert.equal(map.get('n')?.value.text, '50');
    });

    test('everything is found again, tombstones too', async () => {
      await using fixture = await start();
      await fixture.map.update('a', to('one'));
      await fixture.map.update('b', to('two'));
      await fixture.map.update('b', () => undefined);
      const again = await fixture.reopen();
      assert.deepEqual([again.entries(), again.revision], [[{ key: 'a', version: 1, value: { text: 'one' } }], 3]);
      assert.equal((await again.update('b', to('three'))).version, 3);
    });

    test('a store that takes nothing refuses changes', async () => {
      await using fixture = await start();
      await fixture.map.update('a', to('one'));
      await fixture.store.close();
      await assert.rejects(fixture.map.update('a', to('two')), { code: 'store-failed' });
      assert.deepEqual(fixture.map.get('a')?.value, { text: 'one' });
    });
  });
}
