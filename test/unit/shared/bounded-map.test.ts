import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BoundedMap } from '#shared/bounded-map.ts';

for (const [what, most, set, left] of [
  ['a key that is set again in a full map displaces none', 2, ['a', 'b', 'b'], ['a', 'b']],
  ['a key that is set again is the last to go', 2, ['a', 'b', 'a', 'c'], ['a', 'c']],
  ['the one set longest ago goes first', 3, ['a', 'b', 'c', 'd', 'e'], ['c', 'd', 'e']],
  ['nothing goes before it is full', 3, ['a', 'b', 'c'], ['a', 'b', 'c']],
] as [string, number, string[], string[]][]) {
  test(what, () => {
    const map = new BoundedMap<string, number>(most);
    set.forEach((key, i) => void map.set(key, i));
    assert.deepEqual([...map.keys()], left);
    for (const key of left) assert.equal(map.get(key), set.lastIndexOf(key));
  });
}
