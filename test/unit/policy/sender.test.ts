import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import type { Directory } from '#services/policy/directory/directory.ts';
import { directory, facts } from './fixtures.ts';

const USERS = directory();
const LIMITS = { 'message-size': 1000 };
const outside = facts();
const alice = facts({ kind: 'submission', user: 'Alice' });
const aliceOnRelay = facts({ user: 'alice' });
const nobody = facts({ kind: 'submission', user: 'nobody' });
const stranger = facts({ kind: 'submission' });

const TABLE: [
  who: SessionFacts,
  users: Directory | undefined | null,
  path: string,
  size: number | undefined,
  expected: string,
][] = [
  [stranger, USERS, 'alice@example.com', undefined, '530 5.7.0'],
  [stranger, USERS, '', undefined, '530 5.7.0'],
  [alice, USERS, 'bob@example.com', undefined, '553 5.7.1'],
  [alice, USERS, '"alice@example.com"@evil.test', undefined, '553 5.7.1'],
  [aliceOnRelay, USERS, 'bob@example.com', undefined, '553 5.7.1'],
  [nobody, USERS, 'nobody@example.com', undefined, '553 5.7.1'],
  [alice, null, 'alice@example.com', undefined, '553 5.7.1'],
  [alice, undefined, 'alice@example.com', undefined, '451 4.3.0'],
  [alice, USERS, 'Alice+x@Example.com', undefined, 'accept'],
  [alice, USERS, 'x@lists.example.com', undefined, 'accept'],
  [alice, USERS, '', undefined, 'accept'],
  [alice, undefined, '', undefined, 'accept'],
  [outside, USERS, 'alice@example.com', undefined, 'accept'],
  [outside, undefined, 'x@far.test', 1000, 'accept'],
  [outside, USERS, 'x@far.test', 1001, '552 5.3.4'],
  [alice, USERS, 'alice@example.com', 1001, '552 5.3.4'],
];

for (const [who, users, path, size, expected] of TABLE) {
  test(`${who.user ?? who.kind} as <${path}>${size === undefined ? '' : ` SIZE=${size}`}: ${expected}`, () => {
    const verdict = decide('sender', { session: who, reversePath: path, size, directory: users, limits: LIMITS });
    const got = verdict.action === 'accept' ? 'accept' : `${verdict.reply.code} ${verdict.reply.enhanced}`;
    assert.equal(got, expected);
    assert.ok(verdict.why.length > 0);
  });
}

test('the refusal has both addresses, and nothing that breaks a reply', () => {
  const said = { session: alice, reversePath: 'e\r\nvil@x.test', size: undefined };
  const verdict = decide('sender', { ...said, directory: USERS, limits: LIMITS });
  assert.ok(verdict.action === 'reject');
  assert.equal(
    verdict.reply.text,
    'Sender address e??vil@x.test is not permitted for user Alice, whose addresses are: alice@example.com, Al.Ice@example.com, @lists.example.com',
  );
});
