import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Denials } from '#cluster/bus/denials.ts';
import { permissionSubject } from '#cluster/bus/subjects.ts';

for (const [subject, named] of [
  ['sealpost.v1.router.status-show.P1-3', 'sealpost.v1.router.status-show'],
  ['sealpost.v1.router.status-show', 'sealpost.v1.router.status-show'],
  ['sealpost.v1.member.event.heartbeat', 'sealpost.v1.member.event.heartbeat'],
  ['_INBOX_operator.router.AbC.17', '_INBOX_operator.router'],
  ['$KV.sealpost-claims.edge-1=2Eexample', '$KV.sealpost-claims'],
  ['$JS.API.STREAM.INFO.KV_sealpost-claims', '$JS.API.STREAM.INFO.KV_sealpost-claims'],
] as const) {
  test(`${subject} as permissions name it`, () => assert.equal(permissionSubject(subject), named));
}

test('a refused subscription counts until it is accepted, a refused publication for ten minutes', () => {
  let now = 0;
  const denials = new Denials(() => now);
  denials.add('subscription', 'sealpost.v1.router.a');
  denials.add('publish', '_INBOX_operator.router.x.1');
  now = 60_000;
  denials.add('publish', '_INBOX_operator.router.y.2');
  assert.deepEqual(denials.all(), [
    { operation: 'subscription', subject: 'sealpost.v1.router.a', ago: 60_000 },
    { operation: 'publish', subject: '_INBOX_operator.router', ago: 0 },
  ]);
  now = 60_000 + 10 * 60_000 + 1;
  assert.deepEqual(
    denials.all().map(({ operation }) => operation),
    ['subscription'],
  );
  denials.accepted('sealpost.v1.router.a');
  assert.deepEqual(denials.all(), []);
  denials.add('publish', 'a');
  denials.clear();
  assert.deepEqual(denials.all(), []);
});
