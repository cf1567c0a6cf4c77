import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import { atOnce, config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

const FORCED = {
  senders: ['legal@example.com', 'lists.example.com'],
  header: 'X-Require-TLS',
  subject: '[Secure]',
  level: 'verified',
  otherwise: 'hold',
};
const outside = facts();
const alice = facts({ kind: 'submission', user: 'Alice' });
const news = facts({ kind: 'submission', user: 'news' });
const scanner = facts({ client: { address: '10.1.2.3', name: null, helo: 'x' }, scope: 'internal' });

/** What the message asks for, as `level by otherwise`; undefined: nothing. */
function asked(who: SessionFacts, header: string, reversePath = 'alice@example.com', forced: object = FORCED) {
  const given = config({ relay: { allow: { hosts: ['10.0.0.0/8'] } }, delivery: { 'forced-tls': forced } });
  const mail = { reversePath, recipients: ['x@far.test'], smtpUtf8: false, size: 100 };
  const request = { facts: who, queueId: '01ABCDEFGHJKMNPQ', ...mail };
  const deps = { ...rulesOf(given), ask: () => directory(), config: given, now: new Date(0) };
  const verdict = decide('message', atOnce(messageFacts(request, Buffer.from(`${header}\r\n\r\n`), deps)));
  assert.equal(verdict.action, 'accept');
  const tls = verdict.action === 'accept' ? verdict.tls : undefined;
  return tls && [tls.level, tls.by, tls.otherwise].filter((part) => part !== undefined).join(' ');
}

const FROM = 'From: alice@example.com\r\n';
const TABLE: [who: SessionFacts, header: string, reversePath: string | undefined, expected: string | undefined][] = [
  [alice, `${FROM}Subject: hello`, undefined, undefined],
  [alice, `${FROM}Subject: Re: [SECURE] hello`, undefined, 'verified subject hold'],
  [alice, `${FROM}Subject: hello [sec\r\n ure]`, undefined, undefined],
  [alice, `${FROM}Subject: =?utf-8?B?W3NlY3VyZV0=?=`, undefined, 'verified subject hold'],
  [
    alice,
    `${FROM}Subject: =?utf-8?Q?f=C3=BCr_dich_[sec?=\r\n =?iso-8859-1?Q?ure]?=`,
    undefined,
    'verified subject hold',
  ],
  [alice, `${FROM}X-Require-TLS: yes`, undefined, 'verified header hold'],
  [alice, `${FROM}x-require-tls:`, undefined, 'verified header hold'],
  [alice, `${FROM}X-Require-TLS: No`, undefined, undefined],
  [alice, `${FROM}Subject: a\r\nSubject: [secure]`, undefined, 'verified subject hold'],
  [alice, FROM, 'Legal+x@EXAMPLE.com', 'verified sender hold'],
  [alice, 'From: any@lists.example.com', '', 'verified sender hold'],
  [news, 'From: x@far.test, legal@example.com', 'news@example.com', 'verified sender hold'],
  [news, 'From: legal@notexample.com', 'x@notlists.example.com', undefined],
  [scanner, 'Subject: [secure] scan', 'scan@example.com', 'verified subject hold'],
  [
    alice,
    'Resent-From: alice@example.com\r\nFrom: x@far.test\r\nSubject: [secure]',
    undefined,
    'verified subject hold',
  ],
  // A stranger's mark would have mail returned to whom he likes.
  [outside, 'From: legal@example.com\r\nX-Require-TLS: yes\r\nSubject: [secure]', 'legal@example.com', undefined],
  [outside, 'From: a@far.test\r\nTLS-Required: No', 'a@far.test', 'optional tls-required'],
  [outside, 'From: a@far.test\r\nTLS-Required:\r\n NO', 'a@far.test', 'optional tls-required'],
  [outside, 'From: a@far.test\r\nTLS-Required: yes', 'a@far.test', undefined],
  [outside, 'From: a@far.test\r\nTLS-Required: No\r\nTLS-Required: No', 'a@far.test', undefined],
  [alice, `${FROM}TLS-Required: No\r\nSubject: [secure]`, undefined, 'verified subject hold'],
];

test('what a message asks of TLS, by its sender and its marks', () => {
  for (const [who, header, reversePath, expected] of TABLE) {
    assert.equal(asked(who, header, reversePath), expected, `${header} from <${reversePath}>`);
  }
});

test('* is every sender of ours; the level is TLS, and mail is returned, unless the section says otherwise', () => {
  assert.equal(asked(alice, FROM, undefined, { senders: ['*'] }), 'required sender return');
  assert.equal(asked(outside, 'From: a@far.test', 'a@far.test', { senders: ['*'] }), undefined);
  assert.equal(asked(alice, `${FROM}Subject: [secure]\r\nX-Require-TLS: yes`, undefined, {}), undefined);
});
