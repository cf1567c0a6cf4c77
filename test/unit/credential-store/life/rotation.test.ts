import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertNoRotation,
  freezeRotation,
  resumeDomain,
  rollbackRotation,
  rotationStatus,
  startRotation,
} from '#services/credential-store/life/rotation.ts';
import {
  activated,
  noteProblem,
  proven,
  published,
  replaced,
  replicated,
  switched,
} from '#services/credential-store/life/transitions.ts';
import type { DomainRecord, KeyRecord, Rotation } from '#services/credential-store/records/domain-record.ts';
import {
  AT,
  keyIn,
  NOW,
  outcome,
  recordWith,
  rotationOf,
  statesOf,
} from '#test/unit/credential-store/records/fixture.ts';

const pair = (old: KeyRecord['state'], fresh: KeyRecord['state'], more: Partial<Rotation> = {}): DomainRecord =>
  recordWith([keyIn(old), keyIn(fresh, 's2')], { rotation: rotationOf(['s1'], ['s2'], more) });
const start = (record: DomainRecord, newKeys: KeyRecord[], from?: string[]): DomainRecord =>
  startRotation(record, { newKeys, ...(from && { from }), sideBySide: 0, by: 'edge-1', ...AT });

test('from the start to its end, transition by transition', () => {
  let record = start(recordWith([keyIn('active')]), [keyIn('created', 's2', { activate: false })]);
  assert.equal(statesOf(record), 's1:active s2:created');
  for (const transition of [replicated, published, proven]) record = transition(record, 's2', AT);
  record = activated(record, ['s2'], AT);
  assert.equal(statesOf(record), 's1:active s2:active');
  assert.equal(
    outcome(() => replaced(record, AT)),
    'wrong-state',
  );
  record = switched(record, 7, AT);
  assert.deepEqual(record.rotation?.switched, { at: NOW, revision: 7 });
  assert.equal(
    outcome(() => switched(record, 7, AT)),
    'wrong-state',
  );
  record = replaced(record, AT);
  assert.equal(statesOf(record), 's1:retiring s2:active');
  assert.deepEqual(record.rotation?.ended, { at: NOW, how: 'done' });
  assert.equal(
    outcome(() => replaced(record, AT)),
    'wrong-state',
  );
  const told = record.rotation?.events.map((e) => e.text);
  assert.deepEqual(told, [
    ...[
      'rotation started: s1 is replaced by s2',
      's2 is replicated',
      's2 is published',
      's2 is proven',
      's2 is active',
    ],
    ...['every node signs with s2', 'done: s1 is retiring'],
  ]);
});

test('what cannot begin', () => {
  const two = recordWith([keyIn('active'), keyIn('active', 'e1', { algorithm: 'ed25519' }), keyIn('proven', 's0')]);
  const fresh = keyIn('created', 's2');
  const cases: [string, () => DomainRecord, string][] = [
    ['no active key', () => start(recordWith([keyIn('proven')]), [fresh]), 'no-active-key'],
    ['too few new keys', () => start(two, [fresh]), 'no-active-key'],
    ['another algorithm', () => start(two, [fresh], ['e1']), 'no-active-key'],
    ['an unknown key', () => start(two, [fresh], ['s9']), 'not-found'],
    ['a key that does not sign', () => start(two, [fresh], ['s0']), 'no-active-key'],
    ['a selector in use', () => start(two, [keyIn('created', 's0')], ['s1']), 'exists'],
    ['another one', () => start(pair('active', 'created'), [keyIn('created', 's3')]), 'rotation-under-way'],
  ];
  for (const [what, begin, code] of cases) assert.equal(outcome(begin), code, what);
  assert.match(
    outcome(() => start(two, [fresh], ['s1'])),
    /s2:created/,
  );
  assert.match(
    outcome(() => start(pair('retiring', 'active', { ended: { at: NOW, how: 'done' } }), [keyIn('created', 's3')])),
    /s3:created/,
  );
});

test('a second start learns who rotates, since when, which node drives, and what it waits for', () => {
  const record: DomainRecord = { ...pair('active', 'published'), driver: { node: 'edge-2', term: 3 } };
  assert.throws(() => assertNoRotation(record), {
    code: 'rotation-under-way',
    message:
      'example.com is being rotated: started by edge-1 on 2026-11-23 11:59 UTC, driven by edge-2; s2: every name server must return its record',
  });
  const waiting = noteProblem(record, ['s2'], { ...AT, text: 'ns2 has no record', permanent: false });
  assert.throws(() => assertNoRotation(waiting), { message: /driven by edge-2; ns2 has no record$/ });
});

test('while it is frozen the new keys make no transition, and the switch waits', () => {
  const record = freezeRotation(pair('active', 'published'), { by: 'edge-3', reason: 'audit', now: NOW });
  assert.equal(
    outcome(() => proven(record, 's2', AT)),
    'wrong-state',
  );
  const status = rotationStatus(record);
  assert.equal(status?.state, 'frozen');
  assert.equal(status?.waiting, 'frozen by edge-3 since 2026-11-23 12:00 UTC (audit)');
  assert.equal(
    outcome(() => freezeRotation(record, { by: 'edge-1', reason: '', now: NOW })),
    'wrong-state',
  );
  assert.equal(
    outcome(() => proven(resumeDomain(record, AT), 's2', AT)),
    's1:active s2:proven',
  );
  const active = freezeRotation(pair('active', 'active'), { by: 'edge-3', reason: '', now: NOW });
  assert.equal(
    outcome(() => switched(active, 1, AT)),
    'wrong-state',
  );
  const ended = pair('retiring', 'active', { ended: { at: NOW, how: 'done' } });
  assert.equal(
    outcome(() => freezeRotation(ended, { by: 'edge-1', reason: '', now: NOW })),
    'wrong-state',
  );
});

test('resume lets keys try again that are stuck at a problem, and is refused where none is', () => {
  const record = pair('active', 'replicated');
  assert.equal(
    outcome(() => resumeDomain(record, AT)),
    'wrong-state',
  );
  const stuck = noteProblem(record, ['s2'], { ...AT, text: 'REFUSED', permanent: true });
  assert.equal(rotationStatus(stuck)?.state, 'stopped');
  assert.equal(resumeDomain(stuck, AT).keys[1]?.problem, undefined);
  const waiting = noteProblem(record, ['s2'], { ...AT, text: 'no answer', permanent: false });
  assert.equal(resumeDomain(waiting, AT).keys[1]?.problem, undefined);
});

test('rollback, from every place', () => {
  const done = { ended: { at: NOW, how: 'done' as const } };
  const cases: [DomainRecord, string][] = [
    [pair('active', 'created'), 's1:active s2:retired'],
    [pair('active', 'proven'), 's1:active s2:retired'],
    [pair('active', 'active'), 's1:active s2:retiring'],
    [pair('active', 'active', { switched: { at: NOW, revision: 1 } }), 's1:active s2:retiring'],
    [pair('retiring', 'active', done), 's1:active s2:retiring'],
    // The new one is compromised.
    [pair('retiring', 'retired', done), 's1:active s2:retired'],
    [pair('retired', 'active', done), 'wrong-state'],
    [pair('revoked', 'active', done), 'wrong-state'],
    // The old one is compromised, and the new one does not sign yet: nothing is lost without it.
    [pair('retired', 'proven'), 's1:retired s2:retired'],
    [pair('active', 'retired', { ended: { at: NOW, how: 'rolled-back' } }), 'wrong-state'],
    [recordWith([keyIn('active')]), 'wrong-state'],
    [recordWith([keyIn('active', 's2')], { rotation: rotationOf(['s1'], ['s2'], done) }), 'wrong-state'],
  ];
  for (const [record, expected] of cases) {
    assert.equal(
      outcome(() => rollbackRotation(record, AT)),
      expected,
      statesOf(record),
    );
  }
  const frozen = pair('active', 'created', { frozen: { at: NOW, by: 'edge-1', reason: '' } });
  const back = rollbackRotation(frozen, AT).rotation;
  assert.deepEqual([back?.frozen, back?.ended], [undefined, { at: NOW, how: 'rolled-back' }]);
});

test('its status names keys that are deleted, and until when both sign', () => {
  assert.equal(rotationStatus(recordWith([])), undefined);
  const rotation = rotationOf(['s1', 'x1'], ['s2', 'x2'], {
    sideBySide: 60_000,
    switched: { at: NOW, revision: 1 },
  });
  const status = rotationStatus(recordWith([keyIn('active', 's2')], { rotation }));
  assert.equal(status?.state, 'running');
  assert.equal(status?.sideBySideUntil, NOW + 60_000);
  assert.deepEqual(status?.from, [{ selector: 's1', algorithm: 'rsa-2048', state: 'deleted' }]);
  assert.deepEqual(status?.to, [{ selector: 's2', algorithm: 'rsa-2048', state: 'active' }]);
});
