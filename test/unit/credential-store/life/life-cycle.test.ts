import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  activateKey,
  activatesByItself,
  addKey,
  deleteKey,
  isExposed,
  MAX_KEYS,
  retireKey,
  revokeKey,
} from '#services/credential-store/life/life-cycle.ts';
import {
  activated,
  claim,
  deleted,
  noteProblem,
  proven,
  published,
  replicated,
  retired,
  revoked,
  stopped,
} from '#services/credential-store/life/transitions.ts';
import type { DomainRecord } from '#services/credential-store/records/domain-record.ts';
import { SealpostError } from '#shared/errors.ts';
import type { KeyState } from '#shared/keys/key.ts';
import {
  AT,
  keyIn,
  NOW,
  outcome,
  recordWith,
  rotationOf,
  STATES,
  statesOf,
} from '#test/unit/credential-store/records/fixture.ts';

const rsa = keyIn('active', 'other');

/** Each function with the states from which it leads somewhere, and where to; from all others it is refused. */
const MOVES: [string, (r: DomainRecord) => DomainRecord, Partial<Record<KeyState, KeyState>>][] = [
  ['retire', (r) => retireKey(r, 's1', { ...AT, force: false }), { active: 'retiring' }],
  [
    'revoke',
    (r) => revokeKey(r, 's1', { ...AT, force: false }),
    {
      ...{ created: 'retired', replicated: 'retired', published: 'retired', proven: 'retired' },
      ...{ active: 'retired', retiring: 'retired' },
    },
  ],
  [
    'delete',
    (r) => deleteKey(r, 's1', AT),
    { created: 'retired', replicated: 'retired', published: 'retired', proven: 'retired', revoked: 'revoked' },
  ],
  ['replicated', (r) => replicated(r, 's1', AT), { created: 'replicated' }],
  ['published', (r) => published(r, 's1', AT), { replicated: 'published' }],
  ['proven', (r) => proven(r, 's1', AT), { published: 'proven' }],
  // Retiring keys have `activate` here, as after `keys activate`.
  ['active', (r) => activated(r, ['s1'], AT), { proven: 'active', retiring: 'active' }],
  ['stopped', (r) => stopped(r, 's1', { ...AT, retireAfterMs: 1000 }), { retiring: 'retiring' }],
  ['revoked', (r) => revoked(r, 's1', { ...AT, keepRevokedMs: 1000 }), { retired: 'revoked' }],
];

for (const [name, change, leads] of MOVES) {
  test(`${name}: from which states, and where to`, () => {
    const found = STATES.map((state) => [state, outcome(() => change(recordWith([keyIn(state), rsa])))]);
    const expected = STATES.map((state) => [
      state,
      leads[state] === undefined ? 'wrong-state' : `s1:${leads[state]} other:active`,
    ]);
    assert.deepEqual(found, expected);
    assert.equal(
      outcome(() => change(recordWith([rsa]))),
      'not-found',
    );
  });
}

test('activate is an order to the driver, from every state with a private key', () => {
  for (const state of STATES) {
    const record = recordWith([keyIn(state, 's1', { activate: false })]);
    const gone = state === 'retired' || state === 'revoked';
    assert.equal(
      outcome(() => activateKey(record, 's1')),
      gone ? 'wrong-state' : `s1:${state}`,
    );
    if (!gone) assert.equal(activateKey(record, 's1').keys[0]?.activate, state !== 'active');
  }
});

test('a retiring key becomes active again only if that was ordered since', () => {
  const retiring = retireKey(recordWith([keyIn('active'), rsa]), 's1', { ...AT, force: false });
  assert.equal(
    outcome(() => activated(retiring, ['s1'], AT)),
    'wrong-state',
  );
  const again = activated(activateKey(retiring, 's1'), ['s1'], AT);
  assert.equal(statesOf(again), 's1:active other:active');
  const timed = activateKey(stopped(retiring, 's1', { ...AT, retireAfterMs: 1000 }), 's1');
  assert.equal(activated(timed, ['s1'], AT).keys[0]?.until, undefined);
});

test('a key that becomes active has signed, or may have', () => {
  const record = recordWith([keyIn('proven')]);
  assert.equal(record.keys[0]?.signed, false);
  assert.equal(activated(record, ['s1'], AT).keys[0]?.signed, true);
});

test('the last active key stays unless it is forced', () => {
  const options = { ...AT, force: false };
  for (const change of [retireKey, revokeKey]) {
    const alone = recordWith([keyIn('active'), keyIn('proven', 's2'), keyIn('retiring', 's3')]);
    assert.throws(() => change(alone, 's1', options), {
      code: 'last-key',
      message: /s1 is the last active key of example\.com/,
    });
    assert.match(statesOf(change(alone, 's1', { ...options, force: true })), /^s1:reti/);
    // What does not sign is not the last key that does.
    if (change === revokeKey) assert.match(statesOf(change(alone, 's2', options)), /s2:retired/);
  }
});

test('the private key is erased on entering retired, whatever leads there', () => {
  const old = recordWith([keyIn('retiring', 's1', { until: NOW, activate: false }), keyIn('proven', 's2'), rsa]);
  for (const record of [
    retired(old, 's1', AT),
    revokeKey(old, 's1', { ...AT, force: false }),
    deleteKey(old, 's2', AT),
  ]) {
    assert.equal(JSON.stringify(record.keys.filter((k) => k.state === 'retired')).includes('secret'), false);
    assert.equal(record.keys.filter((k) => k.state === 'retired').length, 1);
    assert.equal(record.keys.filter((k) => k.wrapped === undefined).length, 1);
  }
});

test('a key is retired at its time, which begins when no node signs with it any more', () => {
  const retiring = retireKey(recordWith([keyIn('active'), rsa]), 's1', { ...AT, force: false });
  assert.equal(retiring.keys[0]?.until, undefined);
  assert.equal(
    outcome(() => retired(retiring, 's1', AT)),
    'wrong-state',
  );
  const timed = stopped(retiring, 's1', { ...AT, retireAfterMs: 1000 });
  assert.equal(timed.keys[0]?.until, NOW + 1000);
  assert.equal(
    outcome(() => retired(timed, 's1', { ...AT, now: NOW + 999 })),
    'wrong-state',
  );
  assert.equal(
    outcome(() => stopped(timed, 's1', { ...AT, retireAfterMs: 5000 })),
    'wrong-state',
  );
  assert.equal(
    outcome(() => retired(activateKey(timed, 's1'), 's1', { ...AT, now: NOW + 1000 })),
    'wrong-state',
  );
  assert.equal(
    outcome(() => retired(timed, 's1', { ...AT, now: NOW + 1000 })),
    's1:retired other:active',
  );
});

test('a revoked record stays for its time; that of a key that never signed goes immediately', () => {
  const at = { ...AT, keepRevokedMs: 1000 };
  const signed = revoked(recordWith([keyIn('retired')]), 's1', at);
  assert.equal(signed.keys[0]?.until, NOW + 1000);
  assert.equal(
    outcome(() => deleted(signed, 's1', AT)),
    'wrong-state',
  );
  assert.equal(
    outcome(() => deleted(deleteKey(signed, 's1', AT), 's1', AT)),
    '',
  );
  const never = revoked(recordWith([keyIn('retired', 's1', { signed: false })]), 's1', at);
  assert.equal(never.keys[0]?.until, undefined);
  const gone = deleted(never, 's1', AT);
  assert.deepEqual(gone.used, [{ selector: 's1', fingerprint: 'of s1', deleted: NOW }]);
});

test('delete says what to do with a key that signed', () => {
  const texts = {
    active: /retire it first/,
    retiring: /wait, or revoke it/,
    retired: /every name server returns its revocation/,
  };
  for (const [state, message] of Object.entries(texts)) {
    const record = recordWith([keyIn(state as KeyState)]);
    assert.throws(() => deleteKey(record, 's1', AT), { code: 'wrong-state', message });
  }
});

test('a selector names one key for ever, but behind a CNAME only as long as it lives', () => {
  const used = [{ selector: 's1', fingerprint: 'of s1', deleted: NOW }];
  const cname = { by: 'cname' as const, zone: 'z.example', target: 't.z.example' };
  const behind = keyIn('created', 's1', { publication: cname });
  assert.equal(
    outcome(() => addKey(undefined, 'example.com', keyIn('created'))),
    's1:created',
  );
  assert.equal(
    outcome(() => addKey(recordWith([keyIn('revoked')]), 'example.com', keyIn('created'))),
    'exists',
  );
  assert.equal(
    outcome(() => addKey(recordWith([], { used }), 'example.com', keyIn('created'))),
    'exists',
  );
  assert.equal(
    outcome(() => addKey(recordWith([keyIn('revoked')]), 'example.com', behind)),
    'exists',
  );
  assert.equal(
    outcome(() => addKey(recordWith([], { used }), 'example.com', behind)),
    's1:created',
  );
});

test('a domain has 40 keys at most', () => {
  const keys = Array.from({ length: MAX_KEYS }, (_, i) => keyIn('active', `k${i}`));
  assert.throws(() => addKey(recordWith(keys), 'example.com', keyIn('created')), {
    code: 'exists',
    message: /40 is the maximum/,
  });
  assert.equal(addKey(recordWith(keys.slice(1)), 'example.com', keyIn('created')).keys.length, MAX_KEYS);
});

test('a new key becomes active without an order where the domain signs with none of its type', () => {
  assert.equal(activatesByItself(undefined, 'rsa-2048'), true);
  assert.equal(activatesByItself(recordWith([keyIn('proven')]), 'rsa-2048'), true);
  assert.equal(activatesByItself(recordWith([keyIn('active')]), 'rsa-4096'), false);
  assert.equal(activatesByItself(recordWith([keyIn('active')]), 'ed25519'), true);
});

test('a new key that is taken away leaves the rotation, and the old one stays', () => {
  const rotation = rotationOf(['s1', 'e1'], ['s2', 'e2']);
  const keys = [keyIn('active'), keyIn('active', 'e1'), keyIn('active', 's2'), keyIn('proven', 'e2')];
  const record = recordWith(keys, { rotation });
  const away: [DomainRecord, string][] = [
    [retireKey(record, 's2', { ...AT, force: false }), 'e2'],
    [revokeKey(record, 's2', { ...AT, force: false }), 'e2'],
    [deleteKey(record, 'e2', AT), 's2'],
  ];
  for (const [after, left] of away) {
    assert.deepEqual(after.rotation?.to, [left]);
    assert.equal(after.rotation?.from.length, 1);
    assert.equal(after.rotation?.ended, undefined);
    assert.match(after.rotation?.events.at(-1)?.text ?? '', /is not replaced/);
    const [selector] = after.rotation?.to ?? [];
    const end = revokeKey(after, selector ?? '', { ...AT, force: false });
    assert.deepEqual(end.rotation?.ended, { at: NOW, how: 'rolled-back' });
    assert.match(statesOf(end), /s1:active e1:active/);
  }
});

test('a problem is news once, and goes when the key advances', () => {
  const record = recordWith([keyIn('replicated'), rsa]);
  const noted = noteProblem(record, ['s1'], { ...AT, text: 'no answer', permanent: false });
  assert.deepEqual(noted.keys[0]?.problem, { text: 'no answer', since: NOW, permanent: false });
  assert.equal(noteProblem(noted, ['s1'], { ...AT, now: NOW + 1, text: 'no answer', permanent: false }), noted);
  assert.notEqual(noteProblem(noted, ['s1'], { ...AT, text: 'no answer', permanent: true }), noted);
  assert.equal(published(noted, 's1', AT).keys[0]?.problem, undefined);
});

test('each claim has a higher term', () => {
  const first = claim(recordWith([]), 'edge-1');
  assert.deepEqual(first.driver, { node: 'edge-1', term: 1 });
  assert.deepEqual(claim(first, 'edge-1').driver, { node: 'edge-1', term: 2 });
});

test('nothing that is refused is anything but an error of ours', () => {
  assert.throws(() => retireKey(recordWith([]), 'x', { ...AT, force: true }), SealpostError);
});

test('a compromised key is exposed until DNS has its revocation, and whenever DNS has something else again', () => {
  const compromised = { compromised: true as const };
  const retired = keyIn('retired', 's1', compromised);
  const revoked = keyIn('revoked', 's1', compromised);
  const unsigned = keyIn('revoked', 's1', { ...compromised, signed: false });
  assert.deepEqual(
    [keyIn('retired'), retired, revoked, unsigned].map((k) => isExposed(k, undefined)),
    [false, true, false, true],
  );
  assert.deepEqual(
    (['ok', 'different', 'duplicate', 'missing', 'unreachable'] as const).map((v) => isExposed(revoked, v)),
    [false, true, true, false, false],
  );
  assert.equal(isExposed({ ...retired, publication: { by: 'none' } }, undefined), false);
});
