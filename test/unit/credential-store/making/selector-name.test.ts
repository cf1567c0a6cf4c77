import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSelectors } from '#services/credential-store/making/selector-name.ts';
import type { DomainRecord } from '#services/credential-store/records/domain-record.ts';
import { keyIn, NOW, recordWith } from '#test/unit/credential-store/records/fixture.ts';

const rsa = 'rsa-2048';
const names = (record: DomainRecord | undefined, count = 1): string[] =>
  newSelectors(
    record,
    Array.from({ length: count }, () => rsa),
    { now: NOW, fixed: undefined },
  );

test('names are made from the date and the kind, then with letters', () => {
  assert.deepEqual(newSelectors(undefined, [rsa, 'ed25519', 'rsa-4096', 'ed25519'], { now: NOW }), [
    ...['s20261123', 'e20261123', 's20261123b', 'e20261123b'],
  ]);
});

test('a name that is or was used is not made again', () => {
  const used = [{ selector: 's20261123b', fingerprint: '', deleted: 0 }];
  const record = recordWith([keyIn('active', 's20261123')], { used });
  assert.deepEqual(names(record, 2), ['s20261123c', 's20261123d']);
});

test('a day has room for more names than it has letters', () => {
  const many = names(undefined, 800);
  assert.equal(new Set(many).size, 800);
  assert.deepEqual(many.slice(24, 29), ['s20261123y', 's20261123z', 's20261123aa', 's20261123ab', 's20261123ac']);
});

test('behind CNAMEs the first selectors without a key are taken', () => {
  const record = recordWith([keyIn('active', 'a'), keyIn('revoked', 'c')], {
    used: [{ selector: 'b', fingerprint: '', deleted: 0 }],
  });
  assert.deepEqual(newSelectors(record, [rsa], { now: NOW, fixed: ['a', 'b', 'c'] }), ['b']);
  assert.deepEqual(newSelectors(undefined, [rsa, 'ed25519'], { now: NOW, fixed: ['a', 'b', 'c'] }), ['a', 'b']);
});

test('where none is free it is said which key has it, and until when', () => {
  const record = recordWith([keyIn('active', 'a'), keyIn('revoked', 'b', { until: Date.UTC(2026, 11, 1, 4) })]);
  assert.throws(() => newSelectors(record, [rsa], { now: NOW, fixed: ['a', 'b'] }), {
    code: 'no-selector',
    message: /a is active; b is revoked until 2026-12-01 04:00 UTC, and will then be deleted/,
  });
});
