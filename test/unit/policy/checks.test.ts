import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHECKS, decide } from '#services/policy/checks.ts';
import { HostList } from '#services/policy/relay/host-list.ts';
import { config, directory, facts, rulesOf } from './fixtures.ts';

/** The table and its runner; what each check decides is in the tests of the phases. */

test('every check has a name, and one phase', () => {
  const names = Object.values(CHECKS).flatMap((checks) => checks.map((check) => check.name));
  assert.ok(names.every((name) => name !== ''));
  assert.equal(new Set(names).size, names.length);
});

test('the first refusal ends the phase, and its reasons come after those of the checks before', () => {
  const reversePath = 'author@example.net';
  const given = {
    reversePath,
    recipient: { address: 'a@far.test' },
    named: 'a@far.test',
    namedOurs: false,
    now: new Date(0),
    address: 'a@far.test',
    domain: 'far.test',
    local: 'a',
  };
  const verdict = decide('recipient', {
    ...given,
    session: facts(),
    ours: false,
    ...rulesOf(config()),
    directory: null,
  });
  assert.deepEqual(verdict.why.slice(0, 2), ['far.test is not local', 'client is not in relay.allow.hosts']);
  assert.ok(verdict.action === 'reject' && verdict.reply.code === 554);
});

test('every check of a recipient is asked, also of a mailbox that is known', () => {
  const given = {
    reversePath: '',
    recipient: { address: 'alice@example.com' },
    session: facts(),
    ...rulesOf(config()),
  };
  const address = {
    address: 'alice@example.com',
    domain: 'example.com',
    local: 'alice',
    ours: true,
    named: 'alice@example.com',
    namedOurs: true,
    now: new Date(0),
  };
  for (const check of CHECKS.recipient) {
    const step = check(
      { ...given, ...address, directory: directory() },
      { recipients: [{ address: 'away@far.test' }] },
    );
    assert.equal(step.action, 'go-on', `${check.name} ends the phase`);
  }
  assert.equal(decide('recipient', { ...given, ...address, directory: directory() }).action, 'accept');
});

test('a client that has not logged in is told so, whatever else is wrong', () => {
  const session = facts({ kind: 'submission' });
  const verdict = decide('sender', {
    session,
    reversePath: 'x@far.test',
    size: 2,
    limits: { 'message-size': 1 },
    anonymous: new HostList([]),
    ...rulesOf(config()),
    directory: undefined,
  });
  assert.ok(verdict.action === 'reject');
  assert.deepEqual(verdict.reply, { code: 530, enhanced: '5.7.0', text: 'Authentication required' });
});

test('nobody is authenticated by a password that was not checked, or is not of an account, or as somebody else', () => {
  const users = directory();
  const account = users.user('Alice');
  const given = {
    user: 'alice',
    actAs: undefined,
    account,
    block: undefined,
    password: 'right' as const,
    directory: users,
  };
  const verdict = (changes: object) => decide('authenticate', { ...given, ...changes }).action;
  assert.equal(verdict({}), 'accept');
  assert.equal(verdict({ password: 'wrong' }), 'reject');
  assert.equal(verdict({ account: undefined }), 'reject');
  assert.equal(verdict({ password: 'unchecked' }), 'defer');
  assert.equal(verdict({ directory: undefined }), 'defer');
  assert.equal(verdict({ password: 'locked' }), 'defer');
  assert.equal(verdict({ block: {} }), 'reject');
  assert.equal(verdict({ block: {}, directory: undefined }), 'defer');
  for (const actAs of ['ALICE', 'al.ice@EXAMPLE.com', 'any@lists.example.com'])
    assert.equal(verdict({ actAs }), 'accept');
  for (const actAs of ['bob@example.com', 'nobody', '']) assert.equal(verdict({ actAs }), 'reject', actAs);
});
