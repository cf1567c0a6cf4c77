import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, type KeyPairKeyObjectResult, sign } from 'node:crypto';
import { test } from 'node:test';
import { CHALLENGE, signProof, verifyProof } from '#shared/dkim/prove.ts';
import { publicKeyFingerprint, publishedBytes, publishedKey } from '#shared/dkim/public-key.ts';
import { SealpostError } from '#shared/errors.ts';

const PAIRS = {
  'rsa-2048': generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ed25519: generateKeyPairSync('ed25519'),
};
const CASES = Object.entries(PAIRS) as [keyof typeof PAIRS, KeyPairKeyObjectResult][];
const CHALLENGE_TEXT = 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ';

function keyOf(algorithm: keyof typeof PAIRS, key: KeyObject) {
  const published = publishedBytes(key);
  const fingerprint = publicKeyFingerprint(published);
  return { domain: 'example.com', selector: 's1', algorithm, publicKey: published.toString('base64'), fingerprint };
}

const failed = (text: RegExp) => (error: unknown) =>
  error instanceof SealpostError && error.code === 'proof-failed' && text.test(error.message);

for (const [algorithm, { privateKey, publicKey }] of CASES) {
  const key = keyOf(algorithm, publicKey);

  test(`${algorithm}: p= is the same from both halves and reads back`, () => {
    assert.deepEqual(publishedBytes(privateKey), publishedBytes(publicKey));
    assert.equal(publishedKey(algorithm, key.publicKey).equals(publicKey), true);
    assert.throws(() => publishedKey(algorithm, key.publicKey.slice(0, 20)));
    assert.match(key.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  });

  test(`${algorithm}: a proof holds for its key, domain, selector and challenge, and for no other`, async () => {
    const signature = await signProof({ ...key, privateKey }, CHALLENGE_TEXT);
    const answer = { node: 'edge-2', fingerprint: key.fingerprint, signature };
    verifyProof(key, CHALLENGE_TEXT, answer);
    const others: [string, () => void][] = [
      ['another challenge', () => verifyProof(key, `${CHALLENGE_TEXT}A`, answer)],
      ['another selector', () => verifyProof({ ...key, selector: 's2' }, CHALLENGE_TEXT, answer)],
      ['another domain', () => verifyProof({ ...key, domain: 'example.org' }, CHALLENGE_TEXT, answer)],
      ['no signature', () => verifyProof(key, CHALLENGE_TEXT, { ...answer, signature: '' })],
    ];
    for (const [what, verify] of others) {
      assert.throws(verify, failed(/node edge-2 did not prove .*s[12]\._domainkey\..* not one of this key/), what);
    }
    const other = { ...answer, fingerprint: 'AA:BB' };
    assert.throws(() => verifyProof(key, CHALLENGE_TEXT, other), failed(/another key, AA:BB instead of/));
    const unreadable = { ...key, publicKey: 'AAAA' };
    assert.throws(() => verifyProof(unreadable, CHALLENGE_TEXT, answer), failed(/public key cannot be read/));
  });

  test(`${algorithm}: a signature of mail is not a proof`, () => {
    const header = Buffer.from(`from:a@example.com\r\ndkim-signature:v=1; b=`);
    const signature = sign(algorithm === 'ed25519' ? null : 'sha256', header, privateKey).toString('base64');
    const answer = { node: 'edge-2', fingerprint: key.fingerprint, signature };
    assert.throws(() => verifyProof(key, CHALLENGE_TEXT, answer), failed(/not one of this key/));
  });
}

test('what is signed is more than 32 bytes and has no colon: it is the canonical form of no header', async () => {
  const { privateKey } = PAIRS.ed25519;
  const signature = await signProof({ domain: 'a.b', selector: 's', privateKey }, CHALLENGE_TEXT);
  const text = `sealpost-prove 1\na.b\ns\n${CHALLENGE_TEXT}`;
  assert.equal(sign(null, Buffer.from(text), privateKey).toString('base64'), signature);
  assert.ok(!text.includes(':') && text.length > 32);
  for (const bad of ['short', `${CHALLENGE_TEXT}:`, `${CHALLENGE_TEXT}\r\n`, `${CHALLENGE_TEXT} `, 'A'.repeat(257)]) {
    assert.doesNotMatch(bad, CHALLENGE);
  }
  assert.match(CHALLENGE_TEXT, CHALLENGE);
});
