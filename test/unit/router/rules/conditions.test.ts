import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { conditionOf, type RuledMail } from '#services/router/rules/conditions.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';

const LOCAL = new Set(['example.com']);
const STRANGER: RuledMail = { reversePath: 'eve@news.other.example', user: undefined, ours: false };
const ALICE: RuledMail = { reversePath: 'Alice@example.com', user: 'Alice', ours: true };
const REPORT: RuledMail = { reversePath: '', user: undefined, ours: false };
const BOB: EnvelopeRecipient = { address: 'bob@example.com' };
const ALIAS: EnvelopeRecipient = { address: 'carl@else.example', original: 'sales@example.com' };
const AWAY: EnvelopeRecipient = { address: 'dave@peer.example' };

const ROWS: [when: object, mail: RuledMail, recipient: EnvelopeRecipient, applies: boolean][] = [
  [{}, REPORT, BOB, true],
  [{ from: ['*'] }, REPORT, BOB, false],
  [{ from: ['*'] }, STRANGER, BOB, true],
  [{ from: ['other.example'] }, STRANGER, BOB, true],
  [{ from: ['her.example'] }, STRANGER, BOB, false],
  [{ from: ['eve@other.example'] }, STRANGER, BOB, false],
  [{ from: ['alice@EXAMPLE.com'] }, ALICE, AWAY, true],
  [{ to: ['example.com'] }, STRANGER, BOB, true],
  [{ to: ['sales@example.com'] }, STRANGER, ALIAS, true],
  [{ to: ['else.example'] }, STRANGER, ALIAS, true],
  [{ to: ['example.com'] }, STRANGER, AWAY, false],
  [{ address: ['example.com'] }, ALICE, AWAY, true],
  [{ address: ['example.com'] }, STRANGER, BOB, true],
  [{ address: ['example.com'] }, STRANGER, AWAY, false],
  [{ user: ['alice'] }, ALICE, AWAY, true],
  [{ user: ['*'] }, ALICE, AWAY, true],
  [{ user: ['*'] }, STRANGER, BOB, false],
  [{ direction: 'in' }, STRANGER, BOB, true],
  [{ direction: 'in' }, STRANGER, ALIAS, true],
  [{ direction: 'in' }, ALICE, BOB, false],
  [{ direction: 'internal' }, ALICE, BOB, true],
  [{ direction: 'internal' }, ALICE, { address: 'postmaster' }, true],
  [{ direction: 'internal' }, ALICE, AWAY, false],
  [{ direction: 'out' }, ALICE, AWAY, true],
  [{ direction: 'out' }, ALICE, { address: 'x@sub.example.com' }, true],
  [{ direction: 'out', to: ['peer.example'], user: ['alice'], from: ['example.com'] }, ALICE, AWAY, true],
  [{ direction: 'out', to: ['peer.example'], user: ['bob'] }, ALICE, AWAY, false],
];

for (const [when, mail, recipient, applies] of ROWS) {
  const of = `<${mail.reversePath}> to ${recipient.address}`;
  test(`${JSON.stringify(when)} ${applies ? 'is for' : 'is not for'} mail of ${of}`, () => {
    const [rule] = ConfigSchema.parse({ rules: [{ name: 'r', when, hold: true }] }).rules;
    assert.ok(rule !== undefined);
    assert.equal(conditionOf(rule.when, LOCAL)(mail, recipient), applies);
  });
}
