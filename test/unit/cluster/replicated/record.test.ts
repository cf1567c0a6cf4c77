import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { keyOf, subjectOf } from '#cluster/replicated/jetstream-stream.ts';
import {
  compare,
  decodeStored,
  encodeStored,
  nextRecord,
  parseRecord,
  type ReplicatedRecord,
  writeIdOf,
} from '#cluster/replicated/record.ts';

const schema = z.object({ n: z.number() });
type Value = z.infer<typeof schema>;

/** The last of `count` changes on top of `base`. */
function grow(count: number, base?: ReplicatedRecord<Value>): ReplicatedRecord<Value> {
  let record = base;
  for (let i = 0; i < count; i++) record = nextRecord(schema, record, { key: 'k', node: 'a', value: { n: i } });
  assert.ok(record);
  return record;
}

test('a record survives the stream and the disk, with members of a later program', () => {
  const record = grow(3);
  const json = JSON.stringify({ ...JSON.parse(record.json), later: { b: 1, 10: 2, 9: 'ü' } });
  const parsed = parseRecord(schema, json);
  assert.ok('record' in parsed);
  const again = decodeStored(schema, 'k', encodeStored(parsed.record));
  assert.deepEqual(again, parsed);
  assert.match(parsed.record.json, /"later":\{"9":"ü","10":2,"b":1\}/);
  assert.deepEqual([parsed.record.version, parsed.record.value], [3, { n: 2 }]);
});

test('a record remembers who made its last 16 versions', () => {
  const old = grow(5);
  const record = grow(14, old);
  assert.equal(writeIdOf(record, 19), record.writeId);
  assert.equal(writeIdOf(record, 5), old.writeId);
  assert.equal(writeIdOf(grow(2, record), 5), undefined);
});

const base = grow(5);
for (const [what, held, arrived, expected] of [
  ['the same', base, base, { order: 'same', fork: false }],
  ['a descendant', base, grow(1, base), { order: 'newer', fork: false }],
  ['a late descendant', base, grow(30, base), { order: 'newer', fork: false }],
  ['an ancestor', grow(2, base), base, { order: 'older', fork: false }],
  ['another of the same version', grow(1, base), grow(1, base), { order: 'newer', fork: true }],
  ['another of a higher version', grow(1, base), grow(2, base), { order: 'newer', fork: true }],
  ['another of a lower version', grow(2, base), grow(1, base), { order: 'older', fork: true }],
] as const) {
  test(`the stream brings ${what}`, () => {
    assert.deepEqual(compare(held, arrived), expected);
  });
}

for (const [what, text] of [
  ['no JSON', 'x'],
  ['nothing', ''],
  ['no object', '[]'],
  ['another schema version', grow(1).json.replace('"schema":1', '"schema":2')],
  ['version 0', grow(1).json.replace('"version":1', '"version":0')],
  ['no write id', grow(1).json.replace('"writeId"', '"id"')],
] as const) {
  test(`${what} is no record`, () => {
    assert.throws(() => parseRecord(schema, text));
  });
}

test('a value that the schema refuses is no broken record', () => {
  const parsed = parseRecord(schema, grow(2).json.replace('"n":1', '"m":1'));
  assert.ok('unreadable' in parsed);
  assert.deepEqual([parsed.unreadable.key, parsed.unreadable.version], ['k', 2]);
});

describe('subjects', () => {
  for (const [key, subject] of [
    ['domain!example.com', '$KV.b.domain=21example=2Ecom'],
    ['a_b-C9', '$KV.b.a_b-C9'],
    ['=21', '$KV.b.=3D21'],
    ['* >\r\n', '$KV.b.=2A=20=3E=0D=0A'],
    ['bücher', '$KV.b.b=C3=BCcher'],
  ] as const) {
    test(`${JSON.stringify(key)} is ${subject}`, () => {
      assert.equal(subjectOf('b', key), subject);
      assert.equal(keyOf('b', subject), key);
    });
  }
  test('subjects that are no key’s', () => {
    for (const subject of ['$KV.b.a.b', '$KV.b.a=2', '$KV.b.=41', '$KV.b.=FF'])
      assert.equal(keyOf('b', subject), undefined);
  });
});
