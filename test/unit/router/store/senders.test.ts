import assert from 'node:assert/strict';
import { test } from 'node:test';
import { senderOf } from '#services/router/store/message.ts';
import type { Origin } from '#shared/mail/envelope.ts';
import { ORIGIN } from '#test/unit/router/fixture.ts';

const USER: Origin = { ...ORIGIN, kind: 'submission', user: 'alice' };
const OURS: Origin = { ...ORIGIN, kind: 'internal' };
const elsewhere: Origin = { ...ORIGIN, client: { ...ORIGIN.client, address: '192.0.2.10' } };

type Mail = [origin: Origin, reversePath: string, to?: string];
const of = ([origin, reversePath, to = 'bob@peer.example']: Mail): number => senderOf({ origin, reversePath }, to);

for (const [what, a, b, same] of [
  ['of one user, whatever its reverse-path', [USER, 'x@a.example'], [USER, 'y@b.example'], true],
  ['of two users', [USER, 'x@a.example'], [{ ...USER, user: 'bob' }, 'x@a.example'], false],
  ['of one reverse-path from two hosts', [ORIGIN, 'x@a.example'], [elsewhere, 'x@a.example'], true],
  ['of two reverse-paths', [ORIGIN, 'x@a.example'], [ORIGIN, 'y@a.example'], false],
  ['of a list that names its readers', [ORIGIN, 'l+bob=p@a.example'], [ORIGIN, 'l+eve=p@a.example'], true],
  ['of an address that begins with such a sign', [ORIGIN, '+x@a.example'], [ORIGIN, '+y@a.example'], false],
  ['without a reverse-path from one host', [ORIGIN, '', 'x@p.example'], [ORIGIN, '', 'y@p.example'], true],
  ['without a reverse-path from two hosts', [ORIGIN, ''], [elsewhere, ''], false],
  ['notices of ours to two readers', [OURS, '', 'x@p.example'], [OURS, '', 'y@p.example'], false],
  ['notices of ours to one reader', [OURS, '', 'x@p.example'], [OURS, '', 'x@p.example'], true],
] as [string, Mail, Mail, boolean][]) {
  test(`mail ${what} is mail of ${same ? 'one sender' : 'two senders'}`, () => {
    assert.equal(of(a) === of(b), same);
    assert.ok(Number.isInteger(of(a)) && of(a) >= 0 && of(a) < 2 ** 30);
  });
}
