import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import type { Authenticity } from '#shared/mail/authenticity.ts';
import { config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

/** What policy does with what was found out about a message; what is found is in authenticity/. */

const CONFIG = config({
  node: { hostname: 'mx1.example.com' },
  relay: { allow: { hosts: ['10.0.0.0/8'] } },
  domains: [{ name: 'local.test', local: true }],
});
const USERS = directory();

const outside = facts();
const internal = facts({ client: { address: '10.1.2.3', name: null, helo: 'x' }, scope: 'internal' });
const alice = facts({ kind: 'submission', user: 'Alice' });
const aliceOnRelay = facts({ user: 'Alice' });

const FOUND: Authenticity = {
  spf: { result: 'pass', scope: 'mfrom', domain: 'example.net' },
  dkim: [],
  arc: { result: 'none', sets: 0 },
  dmarc: { result: 'none', from: 'x.test', dkimAligned: false, spfAligned: false, disposition: 'none' },
};

/** Ask about a message for which this is found out. */
async function checked(who: SessionFacts, header: string, found: Authenticity = FOUND, changes: object = {}) {
  const seen: unknown[] = [];
  const verify = async (mail: unknown) => {
    seen.push(mail);
    return found;
  };
  const mail = { reversePath: 'author@example.net', recipients: ['x@far.test'], smtpUtf8: false, size: 100 };
  const request = { facts: who, queueId: '01ABCDEFGHJKMNPQ', ...mail };
  const given = { ...CONFIG, ...changes };
  const deps = { ...rulesOf(given), ask: () => USERS, config: given, now: new Date(0), verify };
  const known = await messageFacts(request, Buffer.from(header.replaceAll('\n', '\r\n')), deps);
  return { verdict: decide('message', known), seen };
}

const names = (verdict: Awaited<ReturnType<typeof checked>>['verdict']) =>
  verdict.action === 'accept' ? verdict.prepend.map((field) => field.split(':')[0]) : [];

test('what is found out about mail from outside stands above all other fields, and goes on with it', async () => {
  const { verdict, seen } = await checked(outside, 'From: a@x.test\n\n');
  assert.deepEqual(names(verdict), ['Authentication-Results', 'Received-SPF', 'Received']);
  assert.ok(verdict.action === 'accept');
  assert.match(verdict.prepend[0] ?? '', /^Authentication-Results: mx1\.example\.com;\r\n\tspf=pass smtp\.mailfrom=/);
  assert.deepEqual(verdict.authenticity, FOUND);
  assert.equal(seen.length, 1);
});

test('mail of users and internal hosts is not checked, and none is where authenticity.check is off', async () => {
  for (const who of [alice, aliceOnRelay, internal]) {
    const { verdict, seen } = await checked(who, 'From: alice@example.com\n\n');
    assert.ok(verdict.action === 'accept' && verdict.authenticity === undefined);
    assert.equal(names(verdict).includes('Authentication-Results'), false);
    assert.equal(seen.length, 0);
  }
  const off = { authenticity: { ...CONFIG.authenticity, check: false } };
  const { verdict, seen } = await checked(outside, 'From: a@x.test\n\n', FOUND, off);
  assert.deepEqual([names(verdict), seen.length], [['Received'], 0]);
});

test('a message whose author is not clear is refused', async () => {
  const dmarc = { ...FOUND.dmarc, result: 'permerror' as const, reason: 'it has no From field' };
  const { verdict } = await checked(outside, 'Subject: x\n\n', { ...FOUND, dmarc });
  assert.ok(verdict.action === 'reject');
  assert.deepEqual(verdict.reply, {
    code: 550,
    enhanced: '5.7.1',
    text: 'The author of the message is not clear: it has no From field',
  });
});

test('authenticity.authserv-id is the name in Authentication-Results', async () => {
  const authenticity = { ...CONFIG.authenticity, 'authserv-id': 'example.com' };
  const { verdict } = await checked(outside, 'From: a@x.test\n\n', FOUND, { authenticity });
  assert.match(verdict.action === 'accept' ? (verdict.prepend[0] ?? '') : '', /^Authentication-Results: example\.com;/);
});

const RESULTS = 'dmarc=pass header.from=x.test\n';
/** Fields of Authentication-Results, and who sends them: of another node, or in a local domain, they are forged too. */
const CLAIMS: [who: SessionFacts, claims: string, kept: boolean][] = [
  [outside, `Authentication-Results: mx1.example.com; ${RESULTS}`, false],
  [outside, `AUTHENTICATION-RESULTS :\n (x)\n\tMX1.example.com. 1; ${RESULTS}`, false],
  [outside, `Authentication-Results: mx2.local.test; ${RESULTS}`, false],
  [outside, `Authentication-Results: mx.far.test; ${RESULTS}`, true],
  [alice, `Authentication-Results: mx1.example.com; ${RESULTS}`, false],
  [internal, `Authentication-Results: mx1.example.com; ${RESULTS}`, true],
];
for (const [who, claims, kept] of CLAIMS) {
  test(`${JSON.stringify(claims)} of ${who.user ?? who.scope} ${kept ? 'stays' : 'is removed'}`, async () => {
    const before = 'From: alice@example.com\nX-First: 1\n';
    const after = 'Subject: x\n\tfolded\n\n';
    const { verdict } = await checked(who, `${before}${claims}${after}`);
    assert.ok(verdict.action === 'accept');
    const without = `${before}${after}`.replaceAll('\n', '\r\n');
    assert.equal(verdict.header, kept ? undefined : without);
  });
}

test('of thousands of Authentication-Results none is read and none stays', async () => {
  const { verdict } = await checked(
    outside,
    `From: a@x.test\n${'Authentication-Results: mx.far.test; none\n'.repeat(501)}\n`,
  );
  assert.equal(verdict.action === 'accept' ? verdict.header : undefined, 'From: a@x.test\r\n\r\n');
});
