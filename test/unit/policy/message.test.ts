import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import type { Directory } from '#services/policy/directory/directory.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import { HOSTILE_FROM } from '#test/kit/hostile-from.ts';
import { atOnce, config, directory, facts, rulesOf } from './fixtures.ts';

const CONFIG = config({
  node: { hostname: 'mx1.example.com' },
  relay: { allow: { hosts: ['10.0.0.0/8'] } },
  domains: [{ name: 'local.test', local: true }],
  limits: { hops: 10, 'message-size': '1MB' },
});
const USERS = directory();

const outside = facts();
const internal = facts({ client: { address: '10.1.2.3', name: null, helo: 'x' }, scope: 'internal' });
const alice = facts({ kind: 'submission', user: 'Alice' });
const aliceOnRelay = facts({ user: 'Alice' });
const bob = facts({ kind: 'submission', user: 'bob@example.com' });
const news = facts({ kind: 'submission', user: 'news' });

type Given = { users: Directory | undefined | null; size: number };

function ask(who: SessionFacts, header: string, { users, size }: Given = { users: USERS, size: 1000 }) {
  const mail = { reversePath: 'author@example.net', recipients: ['x@far.test'], smtpUtf8: false, size };
  const request = { facts: who, queueId: '01ABCDEFGHJKMNPQ', ...mail };
  const deps = { ...rulesOf(CONFIG), ask: () => users, config: CONFIG, now: new Date(0) };
  return decide('message', atOnce(messageFacts(request, Buffer.from(header.replaceAll('\n', '\r\n')), deps)));
}

const ok = 'accept';
const TABLE: [who: SessionFacts, header: string, expected: string, why: string][] = [
  [outside, 'From: a@x.test\nFrom: b@x.test\n\n', '550 5.6.0', 'two From fields, from outside'],
  [
    alice,
    'From: alice@example.com\nfrom : ceo@example.com\n\n',
    '550 5.6.0',
    'a second From with a space before the colon',
  ],
  [alice, 'From: alice@example.com\nFROM:\n ceo@example.com\n\n', '550 5.6.0', 'a second From in capitals, folded'],
  [outside, 'Subject: x\n\n', ok, 'no From, from outside: as it is'],
  [internal, 'Subject: x\n\n', ok, 'no From, internal host'],
  [outside, '', ok, 'no header at all, from outside'],
  [alice, 'Subject: x\n\n', '550 5.6.0', 'no From, submission'],
  [aliceOnRelay, 'Subject: x\n\n', '550 5.6.0', 'no From, a user on a relay listener'],
  [alice, '\nFrom: alice@example.com\n\n', '550 5.6.0', 'From in the body is no From'],
  [alice, 'From: alice@example.com\n\n', ok, 'her address'],
  [alice, 'From: "ceo@example.com" <ALICE@Example.com>\n\n', ok, 'her address under another name'],
  [alice, 'From: =?utf-8?q?Alice?= <alice+x@example.com>\n\n', ok, 'with a tag'],
  [alice, 'From: (alice@example.com) ceo@example.com\n\n', '550 5.7.1', 'her address in a comment'],
  [alice, 'From: "alice@example.com" <ceo@example.com>\n\n', '550 5.7.1', 'her address as display name'],
  [alice, 'From: alice@example.com, ceo@example.com\n\n', '550 5.7.1', 'one of two authors is not hers'],
  [alice, 'From: alice@example.com,\n any@lists.example.com\n\n', ok, 'both are hers'],
  [
    alice,
    'From: alice@example.com <ceo@example.com>\n\n',
    '550 5.7.1',
    'one of the authors that readers could see is not hers',
  ],
  [alice, 'From: ceo@example.com <alice@example.com>\n\n', '550 5.7.1', 'the same the other way round'],
  [alice, 'From: alice@example.com <alice@example.com>\n\n', ok, 'her address as display name without quotes'],
  [alice, 'From: Lice, Alice <alice@example.com>\n\n', ok, 'a comma in the name'],
  [alice, 'From: Alice [Help] <alice@example.com>\n\n', ok, 'brackets in the name'],
  [alice, 'From: Alice <alice@example.com\n\n', ok, 'an angle bracket is missing'],
  [alice, 'From: a, =?utf-8?q?ceo=40example.com?= <alice@example.com>\n\n', '550 5.7.1', 'an encoded author'],
  [alice, 'From: Alice\n\n', '550 5.6.0', 'a name alone'],
  [alice, 'From: a, ceo@example .com, <alice@example.com>\n\n', '550 5.6.0', 'white space in a domain'],
  [alice, 'From: alice@example.com, g:;\n\n', ok, 'an empty group beside'],
  [alice, 'From: nobody:;\n\n', '550 5.6.0', 'nobody at all (RFC 6854)'],
  [alice, 'From:\n\n', '550 5.6.0', 'empty'],
  [alice, 'From: ceo@example.com\nSender: alice@example.com\n\n', '550 5.7.1', 'Sender does not replace From'],
  [alice, 'From: boss@example.com\nSender: alice@example.com\n\n', ok, 'on behalf of somebody that the file names'],
  [alice, 'From: any@help.test\nSender: alice@example.com\n\n', ok, 'on behalf of a domain that the file names'],
  [alice, 'From: boss@example.com\n\n', '550 5.7.1', 'on behalf of somebody, and Sender does not say so'],
  [alice, 'From: boss@example.com\nSender: boss@example.com\n\n', '550 5.7.1', 'on behalf of somebody as that Sender'],
  [alice, 'From: boss@example.com, ceo@example.com\nSender: alice@example.com\n\n', '550 5.7.1', 'and of another'],
  [alice, 'Resent-From: alice@example.com\nFrom: boss@far.test\n\n', ok, 'resent'],
  [
    alice,
    'Resent-From: alice@example.com\nFrom: boss@far.test, ???\n\n',
    ok,
    'resent, with a From that nobody understands',
  ],
  [alice, 'Resent-From: alice@example.com\nFrom: ceo@local.test\n\n', '550 5.7.1', 'resent, from a local domain'],
  [
    alice,
    'Resent-From: alice@example.com\nFrom: "a" <ceo@local.\n test>, x\n\n',
    '550 5.6.0',
    'resent, from a local domain for some readers',
  ],
  [alice, 'Resent-From: ceo@far.test\nFrom: boss@far.test\n\n', '550 5.7.1', 'resent by another'],
  [
    alice,
    'Resent-From: ceo@far.test\nResent-From: alice@example.com\nFrom: a@far.test\n\n',
    '550 5.7.1',
    'resent before',
  ],
  [alice, 'From: alice@example.com\nSender: ceo@example.com\n\n', '550 5.7.1', 'Sender is not hers'],
  [alice, 'From: ceo@x.test\nSender: alice@example.com\nSender: x@x.test\n\n', '550 5.6.0', 'two Sender fields'],
  [alice, 'From: ceo@x.test\nSender: ???\n\n', '550 5.6.0', 'Sender is unreadable'],
  [aliceOnRelay, 'From: ceo@x.test\n\n', '550 5.7.1', 'a user on a relay listener'],
  [bob, 'From: J\u00fcrgen <j\u00fcrgen@b\u00fccher.example>\n\n', ok, 'UTF-8 (RFC 6532)'],
  [news, 'From: anybody@x.test\nSender: ???\n\n', ok, 'who may write as anybody is not asked'],
  [news, 'From: a@x.test\nFrom: b@x.test\n\n', '550 5.6.0', 'but writes one From'],
  [facts({ kind: 'submission', user: 'gone' }), 'From: gone@example.com\n\n', '550 5.7.1', 'a user who is gone'],
  [outside, `${'Received: x\n'.repeat(11)}From: a@x.test\n\n`, '554 5.4.6', 'a loop'],
  [outside, `${'RECEIVED: x\n'.repeat(11)}\n`, '554 5.4.6', 'a loop in capitals'],
  [outside, `${'Received: x\n'.repeat(10)}From: a@x.test\n\n`, ok, 'as many hops as are allowed'],
];

for (const [who, header, expected, why] of TABLE) {
  test(`${who.user === undefined ? '' : 'A4 '}${why}: ${expected}`, () => {
    const verdict = ask(who, header);
    const got = verdict.action === 'accept' ? ok : `${verdict.reply.code} ${verdict.reply.enhanced}`;
    assert.equal(got, expected, JSON.stringify(verdict));
    assert.ok(verdict.why.length > 0);
  });
}

test('SMTPVerifyAuthenticatedSender is on unless the addresses of a user have *', () => {
  assert.equal(ask(alice, 'From: ceo@example.com\n\n').action, 'reject');
  assert.equal(ask(bob, 'From: ceo@example.com\n\n').action, 'reject');
  assert.equal(ask(news, 'From: ceo@example.com\n\n').action, 'accept');
});

test('A4 the refusal of a foreign author has both addresses', () => {
  const verdict = ask(alice, 'From: ceo@example.com\n\n');
  assert.ok(verdict.action === 'reject');
  assert.match(verdict.reply.text, /ceo@example\.com .*alice@example\.com/);
  assert.equal(verdict.why.at(-1), verdict.reply.text);
});

test('a user whose directory cannot be read waits; others do not', () => {
  const unread = (who: SessionFacts) => ask(who, 'From: alice@example.com\n\n', { users: undefined, size: 1 });
  const verdict = unread(alice);
  assert.ok(verdict.action === 'defer');
  assert.equal(verdict.reply.code, 451);
  assert.equal(unread(outside).action, 'accept');
});

test('larger than the limit', () => {
  const verdict = ask(outside, 'From: a@x.test\n\n', { users: USERS, size: 1024 * 1024 + 1 });
  assert.ok(verdict.action === 'reject');
  assert.equal(`${verdict.reply.code} ${verdict.reply.enhanced}`, '552 5.3.4');
  assert.equal(ask(outside, '\n', { users: USERS, size: 1024 * 1024 }).action, 'accept');
});

const PREPENDED: [who: SessionFacts, header: string, names: string[], why: string][] = [
  [alice, 'From: alice@example.com\n\n', ['Received', 'Date', 'Message-ID'], 'both are missing'],
  [alice, 'From: alice@example.com\nDATE: x\n\n', ['Received', 'Message-ID'], 'Date is there'],
  [alice, 'From: alice@example.com\nMessage-Id: <x@y>\n\n', ['Received', 'Date'], 'Message-ID is there'],
  [aliceOnRelay, 'From: alice@example.com\n\n', ['Received', 'Date', 'Message-ID'], 'a user on a relay listener'],
  [outside, 'From: a@x.test\n\n', ['Received'], 'relayed mail stays as it is'],
  [internal, 'From: a@x.test\n\n', ['Received', 'Date', 'Message-ID'], 'a trusted host, such as a scanner'],
  [internal, 'DKIM-Signature: x\nFrom: a@x.test\n\n', ['Received'], 'signed before it came to a trusted host'],
];
for (const [who, header, names, why] of PREPENDED) {
  test(`prepend ${names.join(', ')}: ${why}`, () => {
    const verdict = ask(who, header);
    assert.ok(verdict.action === 'accept');
    assert.deepEqual(
      verdict.prepend.map((field) => field.split(':')[0]),
      names,
    );
    assert.ok(verdict.prepend.every((field) => field.endsWith('\r\n') && /^[\x00-\x7f]*$/.test(field)));
  });
}

test('the added fields are well formed', () => {
  const verdict = ask(alice, 'From: alice@example.com\n\n');
  assert.ok(verdict.action === 'accept');
  assert.deepEqual(verdict.prepend.slice(1), [
    'Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n',
    'Message-ID: <01ABCDEFGHJKMNPQ@mx1.example.com>\r\n',
  ]);
});

test('mail of users and trusted hosts originates at this server, other mail does not', () => {
  const originating = (who: SessionFacts) => {
    const verdict = ask(who, 'From: alice@example.com\n\n');
    return verdict.action === 'accept' && verdict.originating;
  };
  assert.deepEqual([alice, aliceOnRelay, internal, outside].map(originating), [true, true, true, false]);
});

test("what a user resends is not signed for its author; what is the user's own is", () => {
  const originating = (header: string) => {
    const verdict = ask(alice, `Resent-From: alice@example.com\n${header}\n\n`);
    return verdict.action === 'accept' && verdict.originating;
  };
  assert.equal(originating('From: boss@far.test'), false);
  assert.equal(originating('From: alice@example.com'), true);
});

test('SMTPMaxForRecipients: Received names the recipient of a message for one, or nobody with limits.for-recipients: 0', () => {
  const received = (most: 0 | 1, ...recipients: string[]) => {
    const limited = { ...CONFIG, limits: { ...CONFIG.limits, 'for-recipients': most } };
    const mail = { reversePath: 'author@example.net', recipients, smtpUtf8: false, size: 10 };
    const deps = { ...rulesOf(limited), ask: () => USERS, config: limited, now: new Date(0) };
    const request = { facts: outside, queueId: '01ABCDEFGHJKMNPQ', ...mail };
    const verdict = decide('message', atOnce(messageFacts(request, Buffer.from('From: a@x.test\r\n\r\n'), deps)));
    return verdict.action === 'accept' ? (verdict.prepend[0] ?? '') : '';
  };
  assert.match(received(1, 'x@local.test'), /for <x@local\.test>;/);
  assert.doesNotMatch(received(0, 'x@local.test'), /for |local\.test/);
  // RFC 5321 §4.4 has room for one address.
  assert.doesNotMatch(received(1, 'x@local.test', 'y@local.test'), /for |local\.test/);
});

test('a quarter megabyte of hostile header takes no time worth mentioning', () => {
  const started = process.cpuUsage();
  for (const unit of ['From: (((((\n', ':\n', 'x', ' \n', 'Received\n']) {
    ask(alice, unit.repeat(256_000 / unit.length));
  }
  // Normalization (NFC) takes the square of the time for many combining marks.
  ask(alice, `From: a${'\u0301\u0316'.repeat(60_000)}@example.com\n\n`);
  for (const unit of HOSTILE_FROM) ask(alice, `From: ${unit.repeat(256_000 / unit.length)}\n\n`);
  // Of the processor: how many others are at work does not count.
  assert.ok(process.cpuUsage(started).user < 3_000_000);
});
