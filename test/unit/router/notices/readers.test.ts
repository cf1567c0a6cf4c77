import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Notices, StatusChange } from '#services/router/notices/notices.ts';
import { letters } from '#services/router/notices/readers.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { NO_USER } from '#test/unit/router/fixture.ts';

const SENDER = { reversePath: 'alice@sender.example' };
const COPIES = { postmaster: 'postmaster@ours.example', copies: 'failures' as const };
const ORIGINAL = Buffer.from('From: <alice@sender.example>\r\n\r\n');

function failed(recipient: EnvelopeRecipient): StatusChange {
  const status = { state: 'failed' as const, outcome: { at: 0, reply: NO_USER } };
  return { recipient: { recipient, status, busy: true }, status, notice: undefined, silent: false };
}

const plan = (...changes: StatusChange[]): Notices => ({ failed: changes, delayed: [], succeeded: [] });
const brief = (given: ReturnType<typeof letters>): string[] =>
  given.map(({ kind, to, changes, postmaster }) => `${kind} ${to} ${changes.length} ${postmaster ?? 'sender'}`);

const BOB = failed({ address: 'bob@peer.example' });
const MEMBER = failed({ address: 'carol@peer.example', reportTo: 'owner@ours.example' });

test('a notice for each reader, and one copy of all for the postmaster', () => {
  assert.deepEqual(brief(letters(plan(BOB, MEMBER), SENDER, COPIES, ORIGINAL)), [
    'failed alice@sender.example 1 sender',
    'failed owner@ours.example 1 sender',
    'failed postmaster@ours.example 2 copy',
  ]);
  assert.deepEqual(brief(letters(plan(BOB), SENDER, { ...COPIES, copies: 'none' }, ORIGINAL)), [
    'failed alice@sender.example 1 sender',
  ]);
});

test('there are no copies of delays and successes', () => {
  const others: Notices = { failed: [], delayed: [BOB], succeeded: [MEMBER] };
  assert.deepEqual(brief(letters(others, SENDER, COPIES, ORIGINAL)), [
    'delayed alice@sender.example 1 sender',
    'succeeded owner@ours.example 1 sender',
  ]);
});

test('the postmaster gets no copy of a notice that is for the postmaster already', () => {
  const to = { reversePath: 'postmaster@OURS.example' };
  assert.deepEqual(brief(letters(plan(BOB), to, COPIES, ORIGINAL)), ['failed postmaster@OURS.example 1 sender']);
});

test('of mail with the null reverse-path the postmaster alone hears', () => {
  const nobody = { reversePath: '' };
  assert.deepEqual(brief(letters(plan(BOB, MEMBER), nobody, { ...COPIES, copies: 'none' }, ORIGINAL)), [
    'failed postmaster@ours.example 2 dead-letter',
  ]);
  assert.deepEqual(letters(plan(), nobody, COPIES, ORIGINAL), []);
  assert.deepEqual(letters(plan(BOB), nobody, { postmaster: undefined, copies: 'none' }, ORIGINAL), []);
});

test('a notice to the postmaster that comes back causes no other one, nor does mail that cannot be read', () => {
  const back = Buffer.from('Received: x\r\nx-loop: postmaster@ours.example\r\n\r\n');
  const other = Buffer.from('X-Loop: postmaster@theirs.example\r\n\r\n');
  for (const [original, count] of [
    [back, 0],
    [undefined, 0],
    [other, 1],
  ] as const) {
    assert.equal(letters(plan(BOB), { reversePath: '' }, COPIES, original).length, count);
    assert.equal(letters(plan(BOB), SENDER, COPIES, original).length, 1 + count);
  }
});
