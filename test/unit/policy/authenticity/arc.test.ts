import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sealMessage } from 'mailauth/lib/arc/index.js';
import { MESSAGE, RSA, RSA_RECORD, signed, txt, verify, ZONE, type Zone } from './fixtures.ts';

const privateKey = RSA.export({ format: 'pem', type: 'pkcs8' }).toString();
const KEYS: Zone = {
  ...ZONE,
  'TXT seal._domainkey.list.test': txt(RSA_RECORD),
  'TXT seal._domainkey.archive.test': txt(RSA_RECORD),
};
const elsewhere = { reversePath: 'x@elsewhere.test', zone: KEYS };

/** The message with another set in front. */
async function sealed(message: string, signingDomain: string, cv: 'none' | 'pass' = 'none'): Promise<string> {
  const seal = { signingDomain, selector: 'seal', privateKey, cv, authResults: 'mx.list.test; dkim=pass' };
  const fields = await sealMessage(Buffer.from(message), seal);
  return `${fields.toString()}${message}`;
}

const ONE = await sealed(await signed(MESSAGE), 'list.test');
const TWO = await sealed(ONE, 'archive.test', 'pass');

test('a chain passes that each sealer sealed, and the newest is told', async () => {
  assert.deepEqual((await verify(ONE, elsewhere)).arc, { result: 'pass', sets: 1, sealer: 'list.test' });
  assert.deepEqual((await verify(TWO, elsewhere)).arc, { result: 'pass', sets: 2, sealer: 'archive.test' });
  assert.deepEqual((await verify(MESSAGE, elsewhere)).arc, { result: 'none', sets: 0 });
});

const setOf = (instance: number) => new RegExp(`^ARC-[A-Za-z-]+: i=${instance};(?:.*\\r\\n[ \\t])*.*\\r\\n`, 'gm');

const BROKEN: [what: string, message: string, zone?: Zone][] = [
  ['the body changed', TWO.replace('figures are', 'figures ore')],
  ['a result in it changed', TWO.replace('dkim=pass', 'dkim=fail')],
  ['its first set gone', TWO.replace(setOf(1), '')],
  ['a set twice', ONE.replace(setOf(1), (field) => field + field)],
  ['a gap', ONE.replace(/i=1;/g, 'i=3;')],
  ['instance 0', ONE.replace(/i=1;/g, 'i=0;')],
  ['instance 51', ONE.replace(/i=1;/g, 'i=51;')],
  ['a seal that says fail', TWO.replace('cv=pass', 'cv=fail')],
  ['a key that is gone', TWO, ZONE],
  ['60 sets', Array.from({ length: 60 }, () => TWO.match(setOf(2))?.join('') ?? '').join('') + ONE],
  ['200 KB', ONE.replace('mx.list.test;', `mx.list.test; x=${'y'.repeat(200_000)};`)],
];
for (const [what, message, zone = KEYS] of BROKEN) {
  test(`a chain with ${what} fails`, async () => {
    const { arc } = await verify(message, { ...elsewhere, zone });
    assert.equal(arc.result, 'fail', JSON.stringify(arc));
    assert.ok(arc.reason);
  });
}

test('the sets may stand in any order', async () => {
  const fields = TWO.match(/^ARC-(?:.*\r\n[ \t])*.*\r\n/gm) ?? [];
  assert.equal(fields.length, 6);
  const rest = TWO.slice(fields.join('').length);
  assert.equal((await verify(`${fields.reverse().join('')}${rest}`, elsewhere)).arc.result, 'pass');
});
