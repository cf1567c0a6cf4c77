import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecipientStatus } from '#shared/mail/envelope.ts';
import { type Filtered, type QueueFilter, testOf } from '#shared/queue/filter.ts';

type One = {
  recipient: { address: string; original?: string; reversePath?: string };
  status: RecipientStatus;
  hop: string;
};

const deferred = (code: number, enhanced: string | undefined, text: string): RecipientStatus => ({
  ...{ state: 'deferred', attempts: 1, nextAttempt: 0 },
  outcome: { at: 0, reply: { code, ...(enhanced !== undefined && { enhanced }), text } },
});
const OK: RecipientStatus = { state: 'delivered', outcome: { at: 0, reply: { code: 250, text: 'ok' } } };
const to = (address: string, status: RecipientStatus, hop = `mx:${address.split('@')[1]}`): One => ({
  ...{ recipient: { address }, status, hop },
});

const message = (recipients: One[], more: Partial<Filtered<One>> = {}): Filtered<One> => ({
  ...{ queueId: 'A', state: 'deferred', arrived: 1000, reversePath: 'news@Sender.test', recipients },
  ...more,
});
const GREY = to('Bob@sub.one.test', deferred(451, '4.7.1', 'Greylisted, see http://x.test'));
const DOWN = to('c@two.test', deferred(421, undefined, 'Too many connections'), 'smtp://relay.test:25 (tls required)');

for (const [name, filter, mail, expected] of [
  ['nothing is all mail', {}, message([GREY]), true],
  ['one of the ids', { ids: ['B', 'A'] }, message([GREY]), true],
  ['another id', { ids: ['B'] }, message([GREY]), false],
  ['the state', { state: 'hold' }, message([GREY]), false],
  ['a domain and what is below it', { domain: 'ONE.test' }, message([GREY]), true],
  ['no domain that ends alike', { domain: 'ne.test' }, message([GREY]), false],
  ['not a domain that has its mail', { domain: 'one.test' }, message([to('a@one.test', OK), DOWN]), false],
  ['a sender, whatever its case', { sender: 'NEWS@sender.test' }, message([GREY]), true],
  ['the domain of a sender', { sender: 'sender.test' }, message([GREY]), true],
  ['another sender', { sender: 'other@sender.test' }, message([GREY]), false],
  ['the null reverse-path', { sender: '' }, message([GREY], { reversePath: '' }), true],
  ['no null reverse-path', { sender: '' }, message([GREY]), false],
  [
    'the reverse-path of a recipient',
    { sender: 'list.test' },
    message([{ ...GREY, recipient: { address: 'x@y.test', reversePath: 'owner@list.test' } }]),
    true,
  ],
  ['a recipient, whatever its case', { recipient: 'bob@sub.one.test' }, message([GREY]), true],
  [
    'a recipient as it was before aliases',
    { recipient: 'alias@old.test' },
    message([{ ...GREY, recipient: { address: 'x@y.test', original: 'alias@old.test' } }]),
    true,
  ],
  ['older', { before: 1001 }, message([GREY]), true],
  ['not older', { before: 1000 }, message([GREY]), false],
  ['younger', { since: 1000 }, message([GREY]), true],
  ['not younger', { since: 1001 }, message([GREY]), false],
  ['the code of a reply', { reply: '451' }, message([GREY]), true],
  ['the class of a reply', { reply: '4' }, message([GREY]), true],
  ['a code in the text is none', { reply: '471' }, message([to('a@b.test', deferred(451, undefined, '471'))]), false],
  ['the enhanced code', { reply: '4.7.1' }, message([GREY]), true],
  ['the start of the enhanced code', { reply: '4.7' }, message([GREY]), true],
  ['no part of a number in it', { reply: '4.7.1' }, message([to('a@b.test', deferred(451, '4.7.10', 'x'))]), false],
  ['a text in a reply', { reply: 'greyLISTED' }, message([GREY]), true],
  ['no reply yet', { reply: 'greylisted' }, message([to('a@b.test', { state: 'waiting' })]), false],
  ['a next hop as it is listed', { nextHop: 'smtp://relay.test:25 (tls required)' }, message([DOWN]), true],
  ['its host', { nextHop: 'relay.test' }, message([DOWN]), true],
  ['no part of a name', { nextHop: 'lay.test' }, message([DOWN]), false],
  ['not the domain above', { nextHop: 'one.test' }, message([GREY]), false],
  ['all of it of one recipient', { domain: 'one.test', reply: '421' }, message([GREY, DOWN]), false],
  ['of the second one', { domain: 'two.test', reply: '421', nextHop: 'relay.test' }, message([GREY, DOWN]), true],
] as [string, QueueFilter, Filtered<One>, boolean][])
  test(`mail is meant by ${name}: ${expected}`, () => {
    assert.equal(
      testOf(filter)(mail, ({ hop }) => hop),
      expected,
    );
  });
