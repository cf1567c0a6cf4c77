import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { inboxPrefix, isInbox } from '#cluster/bus/subjects.ts';
import { BUS_USERS, type BusUser, permissionsOf } from '#services/console/cli/cluster/bus-permissions.ts';
import { calls, hears } from '#services/topology.ts';
import { silentLogger } from '#shared/log.ts';

const bus = new LocalBus('edge-1');

test('a service is given the calls of the table and no others', () => {
  const router = calls(bus, 'listener', 'router');
  assert.deepEqual(Object.keys(router), ['transfer-open', 'transfer-append', 'transfer-commit', 'transfer-abort']);
  // @ts-expect-error: a listener has no business in the queue.
  assert.equal(router['message-list'], undefined);
  assert.deepEqual(Object.keys(calls(bus, 'signer', 'credential-store')), ['signing-key-list', 'audit-append']);
  assert.deepEqual(Object.keys(calls(bus, 'listener', 'credential-store')), [
    'serving-certificate-list',
    'challenge-list',
    'audit-append',
  ]);
  assert.ok(!('signing-key-list' in calls(bus, 'operator', 'credential-store')));
});

test('a service hears the events of the table and no others', () => {
  const onStores = hears(bus, 'credential-store', 'credential-store', silentLogger);
  onStores('present', () => undefined)();
  // @ts-expect-error: what a store announces of its changes is for signers.
  assert.throws(() => onStores('changed', () => undefined), /no event changed/);
});

const strict = (user: BusUser) => permissionsOf(user, { upgrading: false });

test('permissions name subjects exactly: any node of an operation, own streams, inboxes', () => {
  const exact = /^sealpost\.v1\.[a-z-]+\.[a-z-]+\.\*$|^_INBOX_[a-z-]+(\.[a-z-]+)?\.>$/;
  for (const user of BUS_USERS) {
    const { publish, subscribe } = strict(user);
    const wide = [...publish, ...subscribe].filter((subject) => /[*>]/.test(subject) && !exact.test(subject));
    const buckets = ['sealpost-credentials', 'sealpost-directory', 'sealpost-claims'].filter(
      (bucket) => user === 'node' || user === (bucket === 'sealpost-claims' ? 'router' : 'credential-store'),
    );
    assert.deepEqual(
      wide,
      buckets.map((bucket) => `$KV.${bucket}.*`),
    );
    assert.deepEqual(
      subscribe.filter((subject) => subject.startsWith('_INBOX')),
      [`_INBOX_${user}.>`],
    );
  }
});

test('a service answers its callers, each where that one awaits this service', () => {
  const answers = (user: BusUser): string[] => strict(user).publish.filter((subject) => subject.startsWith('_INBOX'));
  assert.deepEqual(answers('policy'), [
    ...['_INBOX_listener.policy.>', '_INBOX_console.policy.>', '_INBOX_operator.policy.>', '_INBOX_node.policy.>'],
    ...['_INBOX_credential-store.member.>', '_INBOX_console.member.>'],
    ...['_INBOX_operator.member.>', '_INBOX_node.member.>'],
  ]);
  assert.deepEqual(answers('operator'), []);
  assert.deepEqual(answers('streams'), []);
});

test('each user of NATS has an inbox of its own, whatever its name', () => {
  for (const [user, prefix] of [
    [undefined, '_INBOX'],
    ['signer', '_INBOX_signer'],
    ['a.b *>', '_INBOX_a=2Eb=20=2A=3E'],
    ['Jörg', '_INBOX_J=C3=B6rg'],
  ] as const) {
    assert.equal(inboxPrefix(user), prefix);
    assert.ok(isInbox(`${prefix}.x.1`));
  }
  for (const subject of [
    '',
    '_INBOX',
    '_INBOXES.x',
    '_INBOX_',
    '$KV.b.k',
    'sealpost.v1.signer.event.present',
    'x._INBOX.y',
  ]) {
    assert.equal(isInbox(subject), false, subject);
  }
});
