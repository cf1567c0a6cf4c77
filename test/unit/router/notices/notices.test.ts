import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type NoticeKind,
  type NoticeOptions,
  planNotices,
  type StatusChange,
  wants,
} from '#services/router/notices/notices.ts';
import type { Recipient } from '#services/router/store/message.ts';
import type { MessageRecord } from '#services/router/store/records.ts';
import type { EnvelopeRecipient, RecipientStatus } from '#shared/mail/envelope.ts';
import { commitFields, LATER, messageOf, NO_USER, OK, ORIGIN } from '#test/unit/router/fixture.ts';

type Notify = EnvelopeRecipient['notify'];

const HOUR = 3_600_000;
const NOW = 1_800_000_000_000;
const OPTIONS: NoticeOptions = {
  queue: { 'delay-notice': 4 * HOUR },
  dsn: { 'relay-reports': true, 'null-reverse-path': 'none' },
};

function record(more: Partial<MessageRecord> = {}): MessageRecord {
  return {
    reversePath: 'alice@sender.example',
    smtpUtf8: false,
    origin: ORIGIN,
    trace: 'T',
    arrived: NOW - HOUR,
    facts: commitFields(messageOf(500)).facts,
    prepend: '',
    originating: false,
    junk: false,
    chunks: [500],
    recipients: 1,
    held: false,
    delayNoticed: false,
    ...more,
  };
}

const STATUS: Record<string, RecipientStatus> = {
  waiting: { state: 'waiting' },
  deferred: { state: 'deferred', attempts: 1, nextAttempt: NOW + 1, outcome: { at: NOW, reply: LATER } },
  failed: { state: 'failed', outcome: { at: NOW, reply: NO_USER } },
  expired: { state: 'expired', outcome: { at: NOW, reply: LATER } },
  delivered: { state: 'delivered', outcome: { at: NOW, reply: OK } },
};

function changeTo(state: string, notify: Notify, notice?: StatusChange['notice']): StatusChange {
  const recipient: Recipient = {
    recipient: { address: 'bob@peer.example', notify },
    status: { state: 'waiting' },
    busy: true,
  };
  return { recipient, status: STATUS[state] ?? { state: 'waiting' }, notice, silent: false };
}

test('which notices a sender asked for (RFC 3461 §4.1)', () => {
  const rows: [Notify, string][] = [
    [['NEVER'], ''],
    [undefined, 'failed delayed'],
    [[], ''],
    [['SUCCESS'], 'succeeded'],
    [['FAILURE'], 'failed'],
    [['DELAY'], 'delayed'],
    [['SUCCESS', 'FAILURE', 'DELAY'], 'failed delayed succeeded'],
  ];
  for (const [notify, expected] of rows) {
    const heard = (['failed', 'delayed', 'succeeded'] as NoticeKind[]).filter((kind) =>
      wants({ address: 'a@b', notify }, kind),
    );
    assert.equal(heard.join(' '), expected, JSON.stringify(notify));
  }
});

test('which notice a change calls for', () => {
  const all: Notify = ['SUCCESS', 'FAILURE', 'DELAY'];
  const late = { arrived: NOW - 5 * HOUR };
  const rows: [string, Partial<MessageRecord>, StatusChange, string][] = [
    ['nobody hears of mail with the null reverse-path', { ...late, reversePath: '' }, changeTo('failed', all), ''],
    ['a peer that speaks DSN took the duty over', {}, changeTo('delivered', all, 'passed'), ''],
    ['a delivery that does not say who tells', {}, changeTo('delivered', all), ''],
    ['relayed, and asked for', {}, changeTo('delivered', all, 'relayed'), 'succeeded'],
    ['final, and asked for', {}, changeTo('delivered', all, 'final'), 'succeeded'],
    ['relayed, not asked for', {}, changeTo('delivered', undefined, 'relayed'), ''],
    ['failed', {}, changeTo('failed', undefined), 'failed'],
    ['expired', {}, changeTo('expired', ['FAILURE']), 'failed'],
    ['failed, but nobody wants to know', {}, changeTo('failed', ['SUCCESS']), ''],
    ['deferred, not late yet', {}, changeTo('deferred', all), ''],
    ['deferred and late', late, changeTo('deferred', undefined), 'delayed'],
    ['deferred and late, told before', { ...late, delayNoticed: true }, changeTo('deferred', undefined), ''],
    ['deferred and late, not asked for', late, changeTo('deferred', ['FAILURE']), ''],
  ];
  for (const [what, more, change, expected] of rows) {
    const plan = planNotices({ record: record(more), recipients: [change.recipient] }, [change], NOW, OPTIONS);
    const kinds = Object.entries(plan).flatMap(([kind, changes]) => (changes.length > 0 ? [kind] : []));
    assert.equal(kinds.join(), expected, what);
  }
});

test('a delay notice names every late recipient, not only those of this attempt; 0 is never', () => {
  const change = changeTo('deferred', undefined);
  const earlier: Recipient = {
    recipient: { address: 'carol@peer.example' },
    status: STATUS['deferred'] ?? { state: 'waiting' },
    busy: false,
  };
  const gone: Recipient = { ...earlier, status: STATUS['delivered'] ?? { state: 'waiting' } };
  const untried: Recipient = { ...earlier, status: { state: 'waiting' } };
  const message = record({ arrived: NOW - 5 * HOUR });
  const recipients = [earlier, gone, change.recipient, untried];
  const plan = planNotices({ record: message, recipients }, [change], NOW, OPTIONS);
  assert.deepEqual(
    plan.delayed.map((c) => c.recipient),
    [earlier, change.recipient],
  );
  assert.deepEqual(
    planNotices({ record: message, recipients }, [change], NOW, { ...OPTIONS, queue: { 'delay-notice': 0 } }).delayed,
    [],
  );
});

test('a delay notice tells nothing of a mailbox for junk that refused the message', () => {
  const change = changeTo('deferred', undefined);
  const recipient: Recipient = { ...change.recipient, junkToRefused: true };
  const outcome = { at: NOW, reply: NO_USER };
  const plan = (attempts: number) => {
    const status: RecipientStatus = { state: 'deferred', attempts, nextAttempt: NOW, outcome };
    const message = { record: record({ arrived: NOW - 5 * HOUR }), recipients: [recipient] };
    return planNotices(message, [{ ...change, recipient, status }], NOW, OPTIONS).delayed.length;
  };
  assert.deepEqual([plan(0), plan(1)], [0, 1], 'only what its own mailbox said');
});

test('RouterDisableDSNRelayReports: mail for a server without DSN is reported unless that is turned off', () => {
  const asked: Notify = ['SUCCESS'];
  const silent: NoticeOptions = { ...OPTIONS, dsn: { ...OPTIONS.dsn, 'relay-reports': false } };
  for (const [end, options, expected] of [
    ['relayed', OPTIONS, 1],
    ['relayed', silent, 0],
    ['final', silent, 1],
  ] as const) {
    const change = changeTo('delivered', asked, end);
    const plan = planNotices({ record: record(), recipients: [change.recipient] }, [change], NOW, options);
    assert.equal(plan.succeeded.length, expected, end);
  }
});

test('RouterDSNForNULLReversePath 1: the postmaster hears of mail of others that nobody sent, and of nothing of ours', () => {
  const options: NoticeOptions = { ...OPTIONS, dsn: { ...OPTIONS.dsn, 'null-reverse-path': 'postmaster' } };
  const internal = { ...ORIGIN, kind: 'internal' as const };
  const late = { arrived: NOW - 5 * HOUR };
  const rows: [string, Partial<MessageRecord>, StatusChange, string][] = [
    ['a notice of ours', { origin: internal }, changeTo('failed', ['NEVER']), ''],
    ['a failure, whatever NOTIFY says', {}, changeTo('failed', ['NEVER']), 'failed'],
    ['mail that expired', {}, changeTo('expired', undefined), 'failed'],
    ['a delay', late, changeTo('deferred', undefined), ''],
    ['a success', {}, changeTo('delivered', ['SUCCESS'], 'final'), ''],
  ];
  for (const [what, more, change, expected] of rows) {
    const message = { record: record({ reversePath: '', ...more }), recipients: [change.recipient] };
    const plan = planNotices(message, [change], NOW, options);
    const kinds = Object.entries(plan).flatMap(([kind, changes]) => (changes.length > 0 ? [kind] : []));
    assert.equal(kinds.join(), expected, what);
  }
});
