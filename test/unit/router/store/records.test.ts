import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys, parseRecord, queueIdOf, RecipientRecord, rangeOf } from '#services/router/store/records.ts';
import { payloadOf, seal, sealJson, unseal } from '#services/router/store/seal.ts';

const KEY = 'body!0ABCDEFGHJKMNPQR!00000';

test('a sealed value gives back its payload, the empty one too', () => {
  for (const payload of [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(65_536, 0xff)]) {
    const sealed = seal(KEY, payload);
    assert.deepEqual(unseal(KEY, sealed), payload);
    assert.deepEqual(payloadOf(sealed), payload);
  }
});

test('every changed bit, a cut, a piece too much and another key are found', () => {
  const sealed = seal(KEY, Buffer.from('the payload'));
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = Buffer.from(sealed);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => unseal(KEY, changed), { code: 'corrupt' }, `bit ${bit}`);
  }
  for (let length = 0; length < sealed.length; length++) {
    assert.throws(() => unseal(KEY, sealed.subarray(0, length)), { code: 'corrupt' }, `length ${length}`);
  }
  assert.throws(() => unseal(KEY, Buffer.concat([sealed, Buffer.from([0])])), { code: 'corrupt' });
  assert.throws(() => unseal(keys.body('0ABCDEFGHJKMNPQR', 1), sealed), { code: 'corrupt' });
});

test('a record of a version to come is told from a damaged one', () => {
  const sealed = seal(KEY, Buffer.from('x'));
  sealed[0] = 9;
  assert.throws(() => unseal(KEY, sealed), { message: /version 9/ });
});

test('a record that is missing or of another form is corrupt, and the error names its key', () => {
  const key = keys.recipient('0ABCDEFGHJKMNPQR', 7);
  const refused = { code: 'corrupt', message: /recipient!0ABCDEFGHJKMNPQR!00007/ };
  assert.throws(() => parseRecord(RecipientRecord, key, undefined), refused);
  assert.throws(() => parseRecord(RecipientRecord, key, sealJson(key, { recipient: 'x' })), refused);
  assert.throws(() => parseRecord(RecipientRecord, key, seal(key, Buffer.from('{'))), refused);
  const record = { recipient: { address: 'a@b' }, status: { state: 'waiting' as const } };
  assert.deepEqual(parseRecord(RecipientRecord, key, sealJson(key, record)), record);
});

test('ranges hold the keys of one kind or one message, and no others', () => {
  const id = '0ABCDEFGHJKMNPQR';
  const inside = (key: string, prefix: string): boolean => {
    const { gte, lt } = rangeOf(prefix);
    return key >= gte && key < lt;
  };
  assert.equal(inside(keys.body(id, 0), `body!${id}`), true);
  assert.equal(inside(keys.body(id, 99_999), `body!${id}`), true);
  assert.equal(inside(keys.body(`${id}0`, 0), `body!${id}`), false);
  assert.equal(inside(keys.recipient(id, 0), `body!${id}`), false);
  assert.equal(inside(keys.corrupt(id, keys.message(id)), 'message'), false);
  assert.equal(queueIdOf(keys.corrupt(id, keys.body(id, 3))), id);
  assert.equal(queueIdOf(keys.body(id, 3)), id);
});
