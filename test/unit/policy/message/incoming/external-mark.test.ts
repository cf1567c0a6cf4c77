import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import { tagged } from '#services/policy/message/incoming/subject-tag.ts';
import { decodedWords } from '#shared/mail/encoded-words.ts';
import { processorMs } from '#test/kit/processor-time.ts';
import { atOnce, config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

/** The mark of mail from outside, in a field or in the subject (DOMINO I9). */

const TAG = '[External]';
const subject = (raw: string, tag = TAG): string => tagged({ name: 'subject', raw }, tag).raw;

const LONG = 'x'.repeat(70);
const TABLE: [raw: string, expected: string, why: string][] = [
  ['Subject: Hello\r\n', 'Subject: [External] Hello\r\n', 'plain text'],
  ['SUBJECT :\t Hello\r\n', 'SUBJECT : [External] Hello\r\n', 'odd spelling'],
  ['Subject:Hello\r\n', 'Subject: [External] Hello\r\n', 'no space'],
  ['Subject:\r\n', 'Subject: [External]\r\n', 'empty'],
  ['Subject: \r\n', 'Subject: [External]\r\n', 'a space'],
  ['Subject:\r\n Hello\r\n', 'Subject: [External]\r\n Hello\r\n', 'folded at once'],
  [`Subject: ${LONG}\r\n y\r\n`, `Subject: [External]\r\n ${LONG}\r\n y\r\n`, 'a long line'],
  [
    'Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n',
    'Subject: [External] =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n',
    'an encoded word',
  ],
  ['Subject: Gr\xc3\xbc\xc3\x9fe\r\n', 'Subject: [External] Gr\xc3\xbc\xc3\x9fe\r\n', 'UTF-8 as it is'],
  ['Subject: a [External]\r\n', 'Subject: [External] a [External]\r\n', 'the tag where nobody looks'],
  ['Subject: External: x\r\n', 'Subject: [External] External: x\r\n', 'only the word'],
];
for (const [raw, expected, why] of TABLE) {
  test(`I9 a subject gets the tag, ${why}`, () => assert.equal(subject(raw), expected));
}

const TAGGED: string[] = [
  'Subject: [External] Hello\r\n',
  'Subject: Re: [External] Hello\r\n',
  'Subject: AW: Re[2]: Fwd: [External] Hello\r\n',
  'Subject: [staff] Re: [External] Hello\r\n',
  'Subject:\r\n Re: [External]\r\n Hello\r\n',
  'Subject: =?utf-8?B?UmU6IFtFeHRlcm5hbF0gR3LDvMOfZQ==?=\r\n',
  'Subject: =?utf-8?Q?Re:_?=\r\n =?UTF-8*de?Q?[Ext?= =?iso-8859-1?q?ernal]_Gr=FC=DFe?=\r\n',
];
for (const raw of TAGGED) {
  test(`I9 a reply keeps its tag: ${JSON.stringify(raw)}`, () => assert.equal(subject(raw), raw));
}

test('I9 a tag that is not ASCII is an encoded word, and is found again', () => {
  const tag = '[Außerhalb]';
  const plain = subject('Subject: Hello\r\n', tag);
  assert.match(plain, /^Subject: =\?utf-8\?B\?\S+\?= Hello\r\n$/);
  const words = subject('Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n', tag);
  assert.equal(decodedWords(words), 'Subject: [Außerhalb] Grüße\r\n');
  for (const raw of [plain, words]) assert.equal(subject(raw, tag), raw);
  assert.equal(subject('Subject: [Au\xc3\x9ferhalb] x\r\n', tag), 'Subject: [Au\xc3\x9ferhalb] x\r\n');
});

test('I9 hostile subjects take no time, and stay', () => {
  for (const text of [
    '=?'.repeat(50_000),
    '['.repeat(100_000),
    'a:'.repeat(50_000),
    '=?x?q??='.repeat(12_000),
    ' '.repeat(100_000),
  ]) {
    const took = processorMs(() => assert.ok(subject(`Subject: ${text}\r\n`).endsWith(`${text.trimStart()}\r\n`)));
    assert.ok(took < 1000, `${text.slice(0, 10)}: ${took} ms`);
  }
  assert.equal(decodedWords('=?no-such-charset?q?x?='), '=?no-such-charset?q?x?=');
});

function accept(external: Record<string, unknown>, more: { who?: SessionFacts; to?: string[]; header?: string } = {}) {
  const { who = facts(), to = ['bob@example.com'], header = 'From: a@x.test\r\nSubject: Hi\r\n\r\n' } = more;
  const set = config({ domains: [{ name: 'example.com', local: true }], authenticity: { external } });
  const deps = { ...rulesOf(set), ask: () => directory(), config: set, now: new Date(0) };
  const request = {
    facts: who,
    queueId: '01ABCDEFGHJKMNPQ',
    reversePath: 'a@x.test',
    recipients: to,
    smtpUtf8: false,
    size: 9,
  };
  const verdict = decide('message', atOnce(messageFacts(request, Buffer.from(header, 'latin1'), deps)));
  assert.ok(verdict.action === 'accept');
  return { header: verdict.header, marked: verdict.prepend.includes('X-Sealpost-External: yes\r\n') };
}

test('I9 mail from outside for a local domain is marked, as configured', () => {
  const tagOnly = { header: `From: a@x.test\r\nSubject: ${TAG} Hi\r\n\r\n`, marked: false };
  assert.deepEqual(accept({}), { header: undefined, marked: false }, 'off by default');
  assert.deepEqual(accept({ header: true }), { header: undefined, marked: true });
  assert.deepEqual(accept({ 'subject-tag': TAG }), tagOnly);
  assert.deepEqual(accept({ 'subject-tag': TAG, header: true }), { ...tagOnly, marked: true });
  assert.deepEqual(accept({ 'subject-tag': TAG }, { to: ['far@partner.test', 'Bob@Example.COM'] }), tagOnly);
  assert.deepEqual(accept({ 'subject-tag': TAG }, { to: ['postmaster'] }), tagOnly);
});

test('I9 no other mail is', () => {
  const set = { 'subject-tag': TAG, header: true };
  const none = { header: undefined, marked: false };
  assert.deepEqual(accept(set, { who: facts({ kind: 'submission', user: 'news' }) }), none, 'of a user');
  assert.deepEqual(accept(set, { who: facts({ kind: 'submission' }) }), none, 'submitted');
  assert.deepEqual(accept(set, { to: ['far@partner.test'] }), none, 'for others');
});

test('I9 every Subject has the tag, also where there was none; a header without an empty line stays one', () => {
  const set = { 'subject-tag': TAG };
  assert.equal(
    accept(set, { header: 'Subject: a\r\nX: y\r\nSubject: b\r\n\r\n' }).header,
    `Subject: ${TAG} a\r\nX: y\r\nSubject: ${TAG} b\r\n\r\n`,
  );
  assert.equal(accept(set, { header: 'X: \xe4\r\n\r\n' }).header, `Subject: ${TAG}\r\nX: \xe4\r\n\r\n`);
  assert.equal(accept(set, { header: 'X: y' }).header, `Subject: ${TAG}\r\nX: y`);
});

test('I9 a tag is a short text', () => {
  for (const tag of ['', ' [x]', '[x]\r\nBcc: y', 'x'.repeat(41), 'ü'.repeat(21)])
    assert.throws(() => config({ authenticity: { external: { 'subject-tag': tag } } }), /subject-tag/, tag);
});
