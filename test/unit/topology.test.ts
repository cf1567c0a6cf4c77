import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LocalBus } from '#cluster/bus/local-bus.ts';
import { inboxPrefix, isInbox } from '#cluster/bus/subjects.ts';
import { BUS_USERS, permissionsOf } from '#services/console/cli/cluster/bus-permissions.ts';
import { ACCESS, CONTRACTS, calls, hears, type Party } from '#services/topology.ts';
import type { Contract } from '#shared/contract.ts';
import { silentLogger } from '#shared/log.ts';

const bus = new LocalBus('edge-1');

test('a service is given the calls of the table and no others', () => {
  const router = calls(bus, 'listener', 'router');
  assert.deepEqual(Object.keys(router), ['transfer-open', 'transfer-append', 'transfer-commit', 'transfer-abort']);
  // @ts-expect-error: a listener has no business in the queue.
  assert.equal(router['message-list'], undefined);
  assert.deepEqual(Object.keys(calls(bus, 'signer', 'credential-store')), ['signing-key-list']);
  assert.deepEqual(calls(bus, 'listener', 'credential-store'), {});
  assert.ok(!('signing-key-list' in calls(bus, 'operator', 'credential-store')));
});

test('a service hears the events of the table and no others', () => {
  const onStores = hears(bus, 'credential-store', 'credential-store', silentLogger);
  onStores('present', () => undefined)();
  // @ts-expect-error: what a store announces of its changes is for signers.
  assert.throws(() => onStores('changed', () => undefined), /no event changed/);
});

test('permissions name subjects exactly: any node of an operation, the own inbox, flow control', () => {
  for (const user of BUS_USERS) {
    const { publish, subscribe } = permissionsOf(user);
    const wide = [...publish, ...subscribe].filter(
      (subject) => /[*>]/.test(subject) && !/^sealpost\.v1\.[a-z-]+\.[a-z-]+\.\*$|^_INBOX_[a-z-]+\.>$/.test(subject),
    );
    const buckets = ['sealpost-credentials', 'sealpost-claims'].filter(
      (bucket) => user === 'node' || user === (bucket === 'sealpost-claims' ? 'router' : 'credential-store'),
    );
    assert.deepEqual(
      wide,
      buckets.flatMap((bucket) => [`$KV.${bucket}.*`, `$JS.FC.KV_${bucket}.>`]),
    );
    assert.deepEqual(
      subscribe.filter((subject) => subject.startsWith('_INBOX')),
      [`_INBOX_${user}.>`],
    );
  }
});

test('who answers may do so as long as a caller waits', () => {
  for (const contract of Object.values(CONTRACTS) as Contract[]) {
    if (!(contract.name in ACCESS)) continue;
    const { responses } = permissionsOf(contract.name as Party);
    for (const { timeout = 10_000 } of Object.values(contract.operations)) {
      assert.ok(responses === undefined || responses > timeout);
    }
  }
  assert.equal(permissionsOf('policy').responses, 40_000);
  assert.equal(permissionsOf('router').responses, undefined);
  assert.equal(permissionsOf('operator').responses, undefined);
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
