import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { Secret } from '#shared/secret.ts';
import { secretProblem, signedHeaders } from '#shared/webhooks/signature.ts';
import { OTHER_SECRET, SECRET } from '#test/kit/webhooks/receiver.ts';

const BODY = '{"type":"message.delivered","data":{"to":"Jürgen@bücher.example"}}';

test('the library of Standard Webhooks finds the signature to be right, and that of another body wrong', () => {
  const headers = { ...signedHeaders('msg_1', Date.now(), BODY, [new Secret(SECRET)]) };
  assert.deepEqual(new Webhook(SECRET).verify(BODY, headers), JSON.parse(BODY));
  assert.throws(() => new Webhook(SECRET).verify(`${BODY} `, headers), /signature/i);
  assert.throws(() => new Webhook(OTHER_SECRET).verify(BODY, headers), /signature/i);
  assert.throws(() => new Webhook(SECRET).verify(BODY, { ...headers, 'webhook-id': 'msg_2' }), /signature/i);
});

test('the same signature as the library makes', () => {
  const now = Date.now();
  const { 'webhook-signature': ours } = signedHeaders('msg_1', now, BODY, [new Secret(SECRET)]);
  assert.equal(ours, new Webhook(SECRET).sign('msg_1', new Date(now), BODY));
});

test('while a secret is replaced a receiver may know either', () => {
  const headers = { ...signedHeaders('msg_1', Date.now(), BODY, [new Secret(SECRET), new Secret(OTHER_SECRET)]) };
  for (const secret of [SECRET, OTHER_SECRET]) new Webhook(secret).verify(BODY, headers);
});

test('a secret is whsec_ and the base64 of 24 to 64 bytes', () => {
  const of = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;
  for (const good of [SECRET, OTHER_SECRET, of(24), of(32), of(64)]) assert.equal(secretProblem(good), undefined, good);
  for (const [bad, why] of [
    ['', /whsec_/],
    [SECRET.slice(6), /whsec_/],
    ['whsec_', /whsec_/],
    [`${SECRET}\n`, /base64/],
    ['whsec_not base64', /base64/],
    [of(23), /23 bytes/],
    [of(65), /65 bytes/],
  ] as const)
    assert.match(secretProblem(bad) ?? '', why, bad);
});
