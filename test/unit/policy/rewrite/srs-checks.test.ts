import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { recipientFacts } from '#services/policy/gathering/recipient.ts';
import { Srs } from '#services/policy/rewrite/srs.ts';
import { atOnce, checksOf, config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

const CONFIG = config({
  domains: [{ name: 'example.com', local: true }, { name: 'signed.example' }],
  rewrite: {
    'domain-aliases': { 'alias.example': 'example.com' },
    canonical: [{ map: { 'moved@example.com': 'moved@elsewhere.test' } }],
    srs: { domain: 'srs.example.com' },
  },
  relay: { allow: { domains: ['partner.test'] } },
});
const NOW = new Date('2026-11-29T12:00:00Z');
const SRS = new Srs({ domain: 'srs.example.com', keys: [createSecretKey(Buffer.alloc(32, 7))], days: 21 });
const outside = facts();
const alice = facts({ kind: 'submission', user: 'Alice' });

function ask(
  to: string,
  from: string,
  who: SessionFacts = outside,
  more: { srs?: Srs | undefined; given?: typeof CONFIG } = {},
) {
  const { given = CONFIG } = more;
  const srs = 'srs' in more ? more.srs : SRS;
  const checks = checksOf(given);
  const deps = { ...rulesOf(given), ask: () => directory(), checks, config: given, srs, now: NOW };
  const request = { facts: who, reversePath: from, recipient: { address: to } };
  return decide('recipient', atOnce(recipientFacts(request, deps)));
}

/** The reverse-path of each recipient: '' where it is that of the message. */
function paths(to: string, from: string, who?: SessionFacts): Record<string, string> {
  const verdict = ask(to, from, who);
  assert.ok(verdict.action === 'accept', JSON.stringify(verdict));
  return Object.fromEntries(verdict.recipients.map((r) => [r.address, r.reversePath ?? '']));
}

const path = SRS.forward('x@far.test', NOW) ?? '';
const FORWARDS: [to: string, from: string, expected: Record<string, string>, why: string][] = [
  ['bob@example.com', 'x@far.test', { 'bob@example.com': '', 'archive@example.net': path }, 'only what goes elsewhere'],
  ['bob@alias.example', 'x@far.test', { 'bob@example.com': '', 'archive@example.net': path }, 'by a domain alias'],
  ['moved@example.com', 'x@far.test', { 'moved@elsewhere.test': path }, 'by a map'],
  ['alice@example.com', 'x@far.test', { 'alice@example.com': '' }, 'a mailbox'],
  ['x@partner.test', 'x@far.test', { 'x@partner.test': '' }, 'mail that is relayed, not forwarded'],
  ['bob@example.com', '', { 'bob@example.com': '', 'archive@example.net': '' }, 'the null reverse-path'],
  ['bob@example.com', 'a@EXAMPLE.com', { 'bob@example.com': '', 'archive@example.net': '' }, 'a sender of ours'],
  [
    'bob@example.com',
    'a@signed.example',
    { 'bob@example.com': '', 'archive@example.net': '' },
    'of a domain that is signed',
  ],
  ['bob@example.com', 'a@alias.example', { 'bob@example.com': '', 'archive@example.net': '' }, 'of a domain alias'],
  ['bob@example.com', path, { 'bob@example.com': '', 'archive@example.net': '' }, 'an SRS address of ours'],
  [
    'bob@example.com',
    '"a b"@far.test',
    { 'bob@example.com': '', 'archive@example.net': '' },
    'one that cannot be rewritten',
  ],
];
for (const [to, from, expected, why] of FORWARDS) {
  test(`SRS, ${why}: <${from}> to ${to}`, () => assert.deepEqual(paths(to, from), expected));
}

test('without rewrite.srs no reverse-path changes', () => {
  const given = config({ domains: [{ name: 'example.com', local: true }] });
  const verdict = ask('bob@example.com', 'x@far.test', outside, { given, srs: undefined });
  assert.ok(verdict.action === 'accept' && verdict.recipients.every((r) => r.reversePath === undefined));
});

test('a bounce to an SRS address goes to the sender, for whoever brings it and whatever may be relayed', () => {
  for (const who of [outside, alice]) {
    const verdict = ask(path.toLowerCase(), '', who);
    assert.ok(verdict.action === 'accept', JSON.stringify(verdict));
    assert.deepEqual(verdict.recipients, [{ address: 'x@far.test', original: path.toLowerCase() }]);
  }
});

test('mail that is not a bounce goes back through SRS too, under a reverse-path of ours', () => {
  assert.deepEqual(paths(path, 'y@other.test'), { 'x@far.test': SRS.forward('y@other.test', NOW) });
});

test('an expired or forged SRS address is refused at RCPT, and other addresses of its domain are what they were', () => {
  const old = SRS.forward('x@far.test', new Date(NOW.getTime() - 30 * 86_400_000)) ?? '';
  for (const [to, expected] of [
    [old, '550 5.1.1'],
    [path.replace('=far.test=', '=victim.test='), '550 5.7.1'],
    ['SRS0=@srs.example.com', '550 5.7.1'],
    [path.replace('@srs.example.com', '@example.com'), '550 5.1.1'],
    ['x@srs.example.com', '554 5.7.1'],
  ] as const) {
    const verdict = ask(to, '');
    assert.ok(verdict.action === 'reject', to);
    assert.equal(`${verdict.reply.code} ${verdict.reply.enhanced}`, expected, to);
  }
});

test('without a key mail waits where SRS is needed, and only there', () => {
  assert.equal(ask('bob@example.com', 'x@far.test', outside, { srs: undefined }).action, 'defer');
  assert.equal(ask(path, '', outside, { srs: undefined }).action, 'defer');
  assert.equal(ask('alice@example.com', 'x@far.test', outside, { srs: undefined }).action, 'accept');
});
