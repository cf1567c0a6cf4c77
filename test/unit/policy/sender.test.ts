import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import type { Directory } from '#services/policy/directory/directory.ts';
import { HostList } from '#services/policy/relay/host-list.ts';
import { config, directory, facts, rulesOf } from './fixtures.ts';

const USERS = directory();
const SET = { limits: { 'message-size': 1000 }, anonymous: new HostList([]), ...rulesOf(config()) };
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
  test(`${who.user === undefined ? '' : 'A4 '}${who.user ?? who.kind} as <${path}>${size === undefined ? '' : ` SIZE=${size}`}: ${expected}`, () => {
    const verdict = decide('sender', { ...SET, session: who, reversePath: path, size, directory: users });
    const got = verdict.action === 'accept' ? 'accept' : `${verdict.reply.code} ${verdict.reply.enhanced}`;
    assert.equal(got, expected);
    assert.ok(verdict.why.length > 0);
  });
}

test('A4 the refusal has both addresses, and nothing that breaks a reply', () => {
  const said = { session: alice, reversePath: 'e\r\nvil@x.test', size: undefined };
  const verdict = decide('sender', { ...SET, ...said, directory: USERS });
  assert.ok(verdict.action === 'reject');
  assert.equal(
    verdict.reply.text,
    'Sender address e??vil@x.test is not permitted for user Alice, whose addresses are: alice@example.com, Al.Ice@example.com, @lists.example.com',
  );
});

const ANONYMOUS = new HostList(['192.0.2.0/24', '172.18.0.0/16', '172.19.0.1', 'printers.example.com']);
const at = (address: string, more: Partial<SessionFacts> = {}) =>
  facts({ kind: 'submission', ...more, client: { address, name: null, helo: 'x', ...more.client } });
const named = { client: { address: '198.51.100.1', name: 'p1.printers.example.com', helo: 'x' } };

test('SMTPAllowConnectionsAnonymous is off: without a list no host goes without a log-in', () => {
  const said = { session: at('127.0.0.1'), reversePath: 'any@far.test', size: undefined, directory: USERS };
  const { anonymous } = config().authentication;
  const verdict = decide('sender', { ...SET, anonymous: new HostList(anonymous), ...said });
  assert.ok(verdict.action === 'reject' && verdict.reply.code === 530);
});

/** A client of a submission listener that has not logged in, and what MAIL answers. */
const WITHOUT_LOGIN: [who: SessionFacts, expected: string, why: string][] = [
  [at('192.0.2.7'), 'accept', 'in a listed network'],
  [at('198.51.100.1'), '530 5.7.0', 'not listed'],
  [at('198.51.100.1', named), 'accept', 'by its confirmed name'],
  [at('198.51.100.1', { nameFailed: true }), '451 4.4.3', 'the name cannot be looked up'],
  [at('192.0.2.7', { nameFailed: true }), 'accept', 'the name does not matter'],
  [at('172.18.0.1', { gateway: true }), '530 5.7.0', 'a gateway in a listed network'],
  [at('172.19.0.1', { gateway: true }), 'accept', 'a gateway that is listed itself'],
  [at('198.51.100.1', { gateway: true, nameFailed: true }), '530 5.7.0', 'a gateway, whatever its name is'],
];
for (const [who, expected, why] of WITHOUT_LOGIN) {
  test(`A5 without a log-in on a submission listener, ${why}: ${expected}`, () => {
    const said = { session: who, reversePath: 'any@far.test', size: undefined, directory: USERS };
    const verdict = decide('sender', { ...SET, anonymous: ANONYMOUS, ...said });
    assert.equal(verdict.action === 'accept' ? 'accept' : `${verdict.reply.code} ${verdict.reply.enhanced}`, expected);
    assert.equal(verdict.why.length > 0, true);
  });
}
