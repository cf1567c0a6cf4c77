import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import { type ExpectedRecord, judge, type Verdict } from '#services/credential-store/dns/judge.ts';
import { dkimRecordValue, parseDkimRecord } from '#shared/dkim/record.ts';
import { processorMs } from '#test/kit/processor-time.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
const SPKI = rsa.export({ type: 'spki', format: 'der' }).toString('base64');
const PKCS1 = rsa.export({ type: 'pkcs1', format: 'der' }).toString('base64');
const OTHER = generateKeyPairSync('rsa', { modulusLength: 1024 })
  .publicKey.export({ type: 'spki', format: 'der' })
  .toString('base64');
/** RFC 8463 appendix A.2. */
const ED25519 = '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';
const ED25519_SPKI = createPublicKey({
  key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(ED25519, 'base64').toString('base64url') },
  format: 'jwk',
})
  .export({ type: 'spki', format: 'der' })
  .toString('base64');

const RSA_KEY: ExpectedRecord = { kind: 'key', algorithm: 'rsa-2048', publicKey: SPKI };
const ED_KEY: ExpectedRecord = { kind: 'key', algorithm: 'ed25519', publicKey: ED25519 };
const REVOKED: ExpectedRecord = { ...ED_KEY, kind: 'revoked' };
const ABSENT: ExpectedRecord = { ...ED_KEY, kind: 'absent' };

const folded = SPKI.replace(/(.{40})/g, '$1 \t');

/** What stands there, what should, the verdict, and a piece of what is said. */
const CASES: [string, string[], ExpectedRecord, Verdict, RegExp][] = [
  ['our own record', [dkimRecordValue({ algorithm: 'rsa-1024', publicKey: SPKI })], RSA_KEY, 'ok', /exactly this key/],
  ['p= alone', [`p=${SPKI}`], RSA_KEY, 'ok', /./],
  ['tags in another order', [`v=DKIM1; p=${SPKI}; t=s; k=rsa; n=note; h=sha1:sha256; s=email`], RSA_KEY, 'ok', /./],
  ['white space in the key', [`v=DKIM1 ;k = rsa ; p = ${folded} ;`], RSA_KEY, 'ok', /./],
  ['the key as RSAPublicKey', [`v=DKIM1; p=${PKCS1}`], RSA_KEY, 'ok', /./],
  ['ours is RSAPublicKey', [`p=${SPKI}`], { ...RSA_KEY, publicKey: PKCS1 }, 'ok', /./],
  ['the key without its padding', [`k=ed25519; p=${ED25519.replace('=', '')}`], ED_KEY, 'ok', /./],
  ['services with a star', [`p=${SPKI}; s=other : *`], RSA_KEY, 'ok', /./],

  ['nothing', [], RSA_KEY, 'missing', /no TXT record/],
  ['another key', [`p=${OTHER}`], RSA_KEY, 'different', /another key/],
  ['another Ed25519 key', [`k=ed25519; p=${Buffer.alloc(32).toString('base64')}`], ED_KEY, 'different', /another key/],
  ['a revoked key', ['v=DKIM1; p='], RSA_KEY, 'different', /revoked/],
  ['a wrong k=', [`v=DKIM1; k=rsa; p=${ED25519}`], ED_KEY, 'different', /k=rsa.*write k=ed25519/],
  ['no k= for Ed25519', [`v=DKIM1; p=${ED25519}`], ED_KEY, 'different', /k=rsa/],
  ['an unknown k=', [`k=dsa; p=${SPKI}`], RSA_KEY, 'different', /k=dsa/],
  ['a k= in capitals', [`k=RSA; p=${SPKI}`], RSA_KEY, 'different', /k=RSA/],
  ['a key cut at 255', [`p=${SPKI.slice(0, 200)}`], RSA_KEY, 'different', /cut off after 200 of 216/],
  ['a test', [`p=${SPKI}; t=s:y`], RSA_KEY, 'different', /t=y/],
  ['not for mail', [`p=${SPKI}; s=tlsrpt`], RSA_KEY, 'different', /s=tlsrpt/],
  ['SHA-1 alone', [`p=${SPKI}; h=sha1`], RSA_KEY, 'different', /h=sha1/],

  ['the record twice', [`p=${SPKI}`, `p=${SPKI}`], RSA_KEY, 'duplicate', /2 TXT records/],
  ['the record and a text', [`p=${SPKI}`, 'hello'], RSA_KEY, 'duplicate', /2 TXT records/],
  ['the empty text', [''], RSA_KEY, 'malformed', /empty/],
  ['no p=', ['v=DKIM1; k=rsa'], RSA_KEY, 'malformed', /no p=/],
  ['a tag twice', [`p=${SPKI}; k=rsa; k=rsa`], RSA_KEY, 'malformed', /k= occurs twice/],
  ['p= twice', [`p=${OTHER}; p=${SPKI}`], RSA_KEY, 'malformed', /p= occurs twice/],
  ['v= not first', [`p=${SPKI}; v=DKIM1`], RSA_KEY, 'malformed', /v= is not its first/],
  ['another v=', [`v=DKIM2; p=${SPKI}`], RSA_KEY, 'malformed', /v=DKIM2 is not/],
  ['a v= in lower case', [`v=dkim1; p=${SPKI}`], RSA_KEY, 'malformed', /v=dkim1/],
  ['a wildcard’s SPF', ['v=spf1 -all'], RSA_KEY, 'malformed', /v=spf1 -all is not/],
  ['two semicolons', [`v=DKIM1;; p=${SPKI}`], RSA_KEY, 'malformed', /"" is not a tag=value pair/],
  ['escapes of a zone file', [`v=DKIM1\\; p=${SPKI}`], RSA_KEY, 'malformed', /backslashes/],
  ['quotes of a zone file', [`"v=DKIM1; p=${SPKI}"`], RSA_KEY, 'malformed', /quotation marks/],
  ['strings pasted with quotes', [`p=${SPKI.slice(0, 100)}" "${SPKI.slice(100)}`], RSA_KEY, 'malformed', /quotation/],
  ['p= that is not base64', ['p=!!!!'], RSA_KEY, 'malformed', /not base64/],
  ['p= with URL-safe base64', [`p=${SPKI.slice(0, 20)}-_`], RSA_KEY, 'malformed', /not base64/],
  ['p= that is not a key', ['p=aGVsbG8='], RSA_KEY, 'malformed', /not an RSA public key/],
  ['an Ed25519 key in p= of RSA', [`k=rsa; p=${ED25519_SPKI}`], RSA_KEY, 'malformed', /not an RSA public key/],
  ['Ed25519 as SPKI', [`k=ed25519; p=${ED25519_SPKI}`], ED_KEY, 'malformed', /44 bytes/],
  ['an over-long Ed25519 key', [`k=ed25519; p=${ED25519.slice(0, -1)}AAAA`], ED_KEY, 'malformed', /35 bytes/],
  ['bytes that are no text', ['v=DKIM1; p=\xff\x00'], RSA_KEY, 'malformed', /not a tag=value pair/],

  ['an empty p=', ['v=DKIM1; k=rsa; p='], REVOKED, 'ok', /revoked/],
  ['p= alone, revoked', ['p='], REVOKED, 'ok', /./],
  ['the key, still', [`p=${SPKI}`], REVOKED, 'different', /still has a key/],
  ['nothing, for revoked', [], REVOKED, 'missing', /./],

  ['nothing, for absent', [], ABSENT, 'ok', /no record/],
  ['a wildcard’s SPF, for absent', ['v=spf1 -all'], ABSENT, 'ok', /no key record/],
  ['the key, for absent', [`p=${SPKI}`], ABSENT, 'different', /a key record/],
  ['the revoked record, for absent', ['hello', 'p='], ABSENT, 'different', /revoked record/],
];

describe('the verdict on what stands in DNS', () => {
  for (const [what, texts, expected, verdict, detail] of CASES) {
    test(`${what}: ${verdict}`, () => {
      const judgement = judge(texts, expected);
      assert.equal(judgement.verdict, verdict, judgement.detail);
      assert.match(judgement.detail, detail);
      assert.match(judgement.detail, /^[\x20-\x7e§]*$/);
    });
  }
});

test('a record of 64 KB is read in no time', () => {
  for (const filling of [' ', ';', '=', 'a=', 'a=;', '\t;', 'p= ']) {
    const took = processorMs(() => parseDkimRecord(`v=DKIM1; p=${filling.repeat(65_000 / filling.length)}x`));
    assert.ok(took < 2000, `${JSON.stringify(filling)}: ${took} ms`);
  }
});
