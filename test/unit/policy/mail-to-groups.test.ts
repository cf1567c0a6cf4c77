import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { Directory, type Entries } from '#services/policy/directory/directory.ts';
import { recipientFacts } from '#services/policy/gathering/recipient.ts';
import { Srs } from '#services/policy/rewrite/srs.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { processorMs } from '#test/kit/processor-time.ts';
import { atOnce, checksOf, config, directory, facts, rulesOf, SECRET } from './fixtures.ts';

const USERS = `
users:
  - { name: alice, password: "${SECRET}", addresses: [Alice@example.com] }
  - { name: bob, password: "${SECRET}", addresses: [bob@example.com] }
aliases:
  owner-staff@example.com: [bob@example.com, away@elsewhere.test]
  everybody@example.com: [staff@example.com]
`;
const GROUPS: Record<string, string[]> = {
  staff: ['alice', 'alice@example.com', 'bob@alias.example', 'far@elsewhere.test', 'crew'],
  crew: ['bob@example.com', 'staff'],
  many: Array.from({ length: 1000 }, (_, i) => `member-${i}@elsewhere.test`),
  more: Array.from({ length: 1001 }, (_, i) => `member-${i}@elsewhere.test`),
  loop: ['loop'],
};

function users(): Directory {
  const group = (name: string) => GROUPS[name] && { name, members: GROUPS[name] };
  const [file] = directory(USERS).sources;
  assert.ok(file);
  const entries: Entries = { ...file, group, groupAt: (key) => group(/^(.+)@example\.com$/.exec(key)?.[1] ?? '') };
  return new Directory([entries]);
}

const DOMAINS = {
  domains: [{ name: 'example.com', local: true }],
  rewrite: { 'domain-aliases': { 'alias.example': 'example.com' }, srs: { domain: 'srs.example.com' } },
};
const outside = facts();
const internal = facts({ scope: 'internal' });
const alice = facts({ kind: 'submission', user: 'alice' });
const NOW = new Date('2026-11-29T12:00:00Z');
const srs = new Srs({ domain: 'srs.example.com', keys: [createSecretKey(Buffer.alloc(32, 7))], days: 21 });

type Given = {
  who?: SessionFacts;
  mode?: string;
  from?: string;
  recipient?: Partial<EnvelopeRecipient>;
  relay?: object;
};

function ask(to: string, { who = outside, mode = 'expand', from = 'x@far.test', recipient = {}, relay }: Given = {}) {
  const given = config({ ...DOMAINS, relay, directory: { 'mail-to-groups': mode } });
  const known = users();
  const deps = { ...rulesOf(given), ask: () => known, checks: checksOf(given), config: given, now: NOW, srs };
  const request = { facts: who, reversePath: from, recipient: { address: to, ...recipient } };
  return decide('recipient', atOnce(recipientFacts(request, deps)));
}

function recipients(to: string, given?: Given): EnvelopeRecipient[] {
  const verdict = ask(to, given);
  assert.ok(verdict.action === 'accept', JSON.stringify(verdict));
  return verdict.recipients;
}

const addresses = (to: string, given?: Given): string[] => recipients(to, given).map((r) => r.address);
const STAFF = ['Alice@example.com', 'bob@example.com', 'far@elsewhere.test'];

test('a member of a group gets one copy, by whatever names it stands there', () => {
  assert.deepEqual(addresses('staff@example.com'), STAFF);
  assert.deepEqual(addresses('Staff+x@alias.example'), STAFF);
});

for (const [mode, who, to, expected] of [
  ['refuse-outsiders', outside, 'staff@example.com', '550 5.7.2'],
  ['refuse-outsiders', outside, 'crew+tag@example.com', '550 5.7.2'],
  ['refuse-outsiders', outside, 'alice@example.com', 'accept'],
  ['refuse-outsiders', internal, 'staff@example.com', 'accept'],
  ['refuse-outsiders', alice, 'staff@example.com', 'accept'],
  ['refuse', alice, 'staff@example.com', '550 5.7.2'],
  ['refuse', internal, 'staff@example.com', '550 5.7.2'],
  ['refuse', outside, 'alice@example.com', 'accept'],
] as const) {
  test(`SMTPDenyMailToGroups ${mode}: ${who.user ?? who.scope} to ${to}: ${expected}`, () => {
    const verdict = ask(to, { who, mode });
    const got = verdict.action === 'accept' ? 'accept' : `${verdict.reply.code} ${verdict.reply.enhanced}`;
    assert.equal(got, expected);
  });
}

test('SMTPDenyMailToGroups: an inner host is not refused for good because DNS did not give its name', () => {
  const relay = { scope: 'external', internal: { names: true } };
  const verdict = ask('staff@example.com', { who: { ...outside, nameFailed: true }, mode: 'refuse-outsiders', relay });
  assert.ok(verdict.action === 'defer' && verdict.reply.code === 451);
});

test('RouterDisableMailToGroups: a group that is refused is refused for policy reasons, and its owner is not', () => {
  const verdict = ask('staff@example.com', { mode: 'refuse' });
  assert.ok(verdict.action === 'reject');
  assert.match(verdict.reply.text, /rejected for policy reasons/);
  assert.deepEqual(addresses('owner-staff@example.com', { mode: 'refuse' }), [
    'bob@example.com',
    'away@elsewhere.test',
  ]);
});

test('SMTPSmartHostAllDisableGroupExpansion: the address of a group goes to the next hop as it is', () => {
  assert.deepEqual(recipients('staff@example.com', { mode: 'pass-on' }), [{ address: 'staff@example.com' }]);
  assert.deepEqual(addresses('alice@example.com', { mode: 'pass-on' }), ['Alice@example.com']);
});

test('bounces of a list with an owner go to the owner, and what the sender asked to hear is not passed on', () => {
  const recipient = { notify: ['SUCCESS' as const], orcpt: 'rfc822;staff@example.com' };
  const own = { original: 'staff@example.com', reversePath: 'owner-staff@example.com', reportTo: 'bob@example.com' };
  for (const from of ['x@far.test', 'alice@example.com']) {
    assert.deepEqual(
      recipients('staff@example.com', { from, recipient }),
      STAFF.map((address) => ({ address, ...own, list: 'delivered' })),
    );
    assert.deepEqual(
      recipients('staff@example.com', { from, recipient: { notify: ['FAILURE'] } }),
      STAFF.map((address) => ({ address, ...own })),
    );
  }
});

test('what stands for several recipients is reported as expanded to a sender who asks for success', () => {
  const lists = (to: string, notify: EnvelopeRecipient['notify']) =>
    recipients(to, { from: 'alice@example.com', recipient: { notify } }).map(({ list }) => list);
  assert.deepEqual(lists('crew@example.com', ['SUCCESS', 'FAILURE']), ['expanded', 'expanded', 'expanded']);
  assert.deepEqual(lists('crew@example.com', ['FAILURE']), [undefined, undefined, undefined]);
  assert.deepEqual(lists('alice@example.com', ['SUCCESS']), [undefined]);
});

test('a list without an owner keeps the sender, by SRS where it leads elsewhere', () => {
  const path = srs.forward('x@far.test', NOW);
  assert.deepEqual(
    recipients('crew@example.com').map((r) => [r.address, r.reversePath, r.reportTo]),
    [
      ['bob@example.com', undefined, undefined],
      ['Alice@example.com', undefined, undefined],
      ['far@elsewhere.test', path, undefined],
    ],
  );
});

test('a notification to a list stays one, so that bounces cause none', () => {
  assert.ok(recipients('staff@example.com', { from: '' }).every((r) => r.reversePath === undefined));
});

test('a group of 1,000 members is expanded in one RCPT, one that is larger or leads nowhere waits', () => {
  assert.ok(processorMs(() => assert.equal(addresses('many@example.com').length, 1000)) < 500);
  for (const to of ['more@example.com', 'loop@example.com']) {
    const verdict = ask(to);
    assert.ok(verdict.action === 'defer' && verdict.reply.enhanced === '4.2.4', to);
  }
});
