import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askedWait, isGreylisting } from '#services/router/delivery/backoff/greylisting.ts';
import { asksForLess } from '#services/router/delivery/backoff/replies.ts';
import { parseReply } from './parse-reply.ts';

/** Replies of hosts that greylist, in their words: whether they say so, and the seconds that they ask for. */

const REPLIES: [line: string, greylisting: boolean, seconds: number | undefined][] = [
  // milter-greylist, and where it is told to be quiet
  ['451 4.7.1 Greylisting in action, please come back in 00:05:00', true, 300],
  ['451 4.7.1 Greylisting in action, please come back in 01:30:10', true, 5410],
  ['451 4.7.1 Greylisting in action, please come back later', true, undefined],
  // postgrey: by default, and with the text that many configure
  [
    '450 4.2.0 <b@x.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/5m.test.html',
    true,
    undefined,
  ],
  ['450 4.2.0 <3h@x.test>: Recipient address rejected: Greylisted for 287 seconds', true, 287],
  ['450 4.2.0 Greylisted for 300 seconds (see http://isg.ee.ethz.ch/tools/postgrey/help/foo.test.html)', true, 300],
  // SQLgrey
  ['450 <b@x.test>: Recipient address rejected: Greylisted for 5 minutes', true, 300],
  // policyd, cbpolicyd
  ['450 4.7.1 <b@x.test>: Recipient address rejected: Policy Rejection- Please try later.', false, undefined],
  ['451 4.7.1 <b@x.test>: Recipient address rejected: Greylisting in effect, please come back later', true, undefined],
  // ppolicy, jPostgrey
  ['450 4.7.1 greylisting in progress, mail will be accepted in 240s', true, 240],
  ['450 4.2.0 Greylisted, early retry (57 seconds remaining). Please come back later.', true, 57],
  // access lists of Exim
  ['451 Greylisted: greylisting in progress... retry after 280 seconds', true, 280],
  ['451 greylisted, try again in 4m59s', true, 299],
  // rspamd, OpenBSD's spamd
  ['451 4.7.1 Try again later', false, undefined],
  ['451 Temporary failure, please try again later.', false, undefined],
  // Stalwart
  ['422 4.2.2 Greylisted, please try again in a few moments.', true, undefined],
  // Microsoft
  ['451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712344)', false, undefined],
  ['451 4.7.651 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.', false, undefined],
  // words without a name
  ['450 4.7.1 Temporarily deferred, please retry after 5 minutes', false, 300],
  ['451 4.7.1 Please wait at least 1 hour and 30 minutes', false, 5400],
  ['450 4.7.1 try again in an hour', false, 3600],
  ['450 4.7.1 Graylisted. Come back in 1 min.', true, 60],
  // numbers that are no wait
  ['450 4.7.1 Greylisted, retry within 4 hours', true, undefined],
  ['450 4.7.1 Greylisted, see policy 451', true, undefined],
  ['451 4.7.1 you sent 100 messages in 5 minutes, try again later', false, undefined],
  ['451 4.7.1 try again later; limit is 100 messages per 1 hour', false, undefined],
  ['451 4.7.1 try again in 0 seconds', false, undefined],
  ['452 4.2.2 mailbox is full for 30 days', false, undefined],
  ['451 4.7.1 retry after 99 days', false, undefined],
  ['450 4.7.1 Greylisted as said in 5 sentences', true, undefined],
  // a refusal for good
  ['550 5.7.1 Greylisted for 300 seconds', false, undefined],
  ['250 2.0.0 Greylisted for 300 seconds', false, undefined],
];

for (const [line, greylisting, seconds] of REPLIES) {
  test(`"${line}"`, () => {
    const said = parseReply(line);
    assert.equal(isGreylisting(said), greylisting);
    assert.equal(askedWait(said), seconds === undefined ? undefined : seconds * 1000);
    if (greylisting) assert.equal(asksForLess(said), false, 'it is about one message');
  });
}

test('a reply of any length is read in no time', () => {
  for (const text of [
    'again '.repeat(50_000),
    '1 hour and '.repeat(50_000),
    'again a a a a '.repeat(50_000),
    '1'.repeat(500_000),
  ]) {
    const start = performance.now();
    askedWait({ code: 451, text: `greylisted ${text}` });
    askedWait({ code: 451, text });
    assert.ok(performance.now() - start < 100, text.slice(0, 20));
  }
});
