import assert from 'node:assert/strict';
import { test } from 'node:test';
import { examine } from '#services/console/reports/doctor/checks.ts';
import type { Facts } from '#services/console/reports/doctor/finding.ts';
import { rotationStatus } from '#test/kit/dkim/fake-credential-store.ts';
import {
  checked,
  DAY,
  domains,
  enforce,
  facts,
  holder,
  MINUTE,
  NOW,
  nek,
  SIGNERS,
  STORES,
  status,
  view,
} from './doctor-facts.ts';

/** When `sealpost doctor` says nothing, and in which order it speaks. */

test('where everything is as it should be, nothing is said', () => {
  assert.deepEqual(examine(facts()), []);
  assert.deepEqual(examine(facts({ keys: [], stored: [], neks: [], rotations: [], domains: [] })), []);
});

for (const [what, own] of [
  [
    'a record that went after the key was revoked',
    { keys: [checked({ state: 'revoked' }, { views: [view('edge-1', 'missing')] })] },
  ],
  [
    'a key that is being made',
    {
      keys: [
        checked(
          { state: 'created', since: NOW - MINUTE },
          { views: [view('edge-1', 'missing')], unproven: [{ node: 'edge-2', reason: 'not held' }] },
        ),
      ],
    },
  ],
  [
    'a key that waits for "keys activate" since yesterday',
    { keys: [checked({ state: 'proven', activate: false, since: NOW - DAY })] },
  ],
  [
    'two keys side by side for weeks, as asked',
    { rotations: [rotationStatus({ started: NOW - 20 * DAY, sideBySideUntil: NOW + DAY })] },
  ],
  ['a rotation that ended long ago', { rotations: [rotationStatus({ started: NOW - 20 * DAY, state: 'done' })] }],
  ['a subdomain that its parent signs for', domains({ name: 'mail.example.com', ...enforce })],
  ['a weak key that is gone', { keys: [checked({ state: 'revoked', algorithm: 'rsa-1024' })] }],
  ['the delay of a message', status({ holders: [...STORES, ...SIGNERS, holder('edge-3', 'signer', { clock: -900 })] })],
] as [string, Partial<Facts>][]) {
  test(`${what} is no matter`, () => assert.deepEqual(examine(facts(own)), []));
}

test('the worst comes first', () => {
  const keys = [
    checked({ algorithm: 'rsa-1024' }),
    checked({ selector: 's2' }, { views: [view('edge-1', 'missing')] }),
  ];
  const severities = examine(facts({ keys, neks: [nek({ current: false, keys: 0 })] })).map((f) => f.severity);
  assert.deepEqual(severities, ['error', 'warning', 'note']);
});
