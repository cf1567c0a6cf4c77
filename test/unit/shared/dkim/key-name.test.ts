import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkKeyName, checkNameInUse, normalizeKeyName } from '#shared/dkim/key-name.ts';
import { SealpostError } from '#shared/errors.ts';

const REFUSED: [domain: string, selector: string][] = [
  ['', 's1'],
  ['com', 's1'],
  ['.', 's1'],
  ['example..com', 's1'],
  ['.example.com', 's1'],
  ['example.com..', 's1'],
  ['-example.com', 's1'],
  ['example-.com', 's1'],
  ['_x.example.com', 's1'],
  ['exa mple.com', 's1'],
  ['example.com;x', 's1'],
  ['[192.0.2.1]', 's1'],
  ['*', 's1'],
  [`${'a'.repeat(64)}.example`, 's1'],
  ['example!s1.com', 's1'],
  ['example.com', ''],
  ['example.com', '.s1'],
  ['example.com', 's1.'],
  ['example.com', 's_1'],
  ['example.com', 's1-'],
  ['example.com', 's1;p=x'],
  ['example.com', 's1\r\nX: y'],
  ['example.com', 's!1'],
  ['example.com', 'sé'],
  ['example.com', 'a'.repeat(64)],
  [`${'abcdefgh.'.repeat(26)}example.com`, 's1'],
];

for (const [domain, selector] of REFUSED) {
  test(`no key can be called ${JSON.stringify(`${selector} of ${domain}`).slice(0, 70)}`, () => {
    assert.throws(
      () => checkKeyName({ domain, selector }),
      (error) => error instanceof SealpostError && error.code === 'invalid-name',
    );
  });
}

test('a key that exists may have a selector with "_", and nothing else that a new one may not', () => {
  for (const selector of ['k1_2048', '_s1', 's1_', 'a_b.c_d']) {
    assert.equal(checkNameInUse({ domain: 'example.com', selector: selector.toUpperCase() }).selector, selector);
  }
  for (const [domain, selector] of REFUSED.filter(([, s]) => s !== 's_1')) {
    assert.throws(() => checkNameInUse({ domain, selector }), { code: 'invalid-name' }, `${selector} of ${domain}`);
  }
});

test('names become lower case and A-labels', () => {
  assert.deepEqual(checkKeyName({ domain: 'Bücher.Example.', selector: 'S1.EU-West' }), {
    domain: 'xn--bcher-kva.example',
    selector: 's1.eu-west',
  });
  assert.deepEqual(normalizeKeyName({ domain: 'EXAMPLE.com', selector: 'No_Check' }), {
    domain: 'example.com',
    selector: 'no_check',
  });
});
