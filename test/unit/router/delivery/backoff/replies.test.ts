import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asksForLess, isBlock } from '#services/router/delivery/backoff/replies.ts';
import { parseReply } from './parse-reply.ts';

/** Replies as servers give them, and what they are taken for. */
for (const [line, meaning] of [
  ['421 4.7.0 bye', 'less'],
  ['421 4.4.5 Server busy, try again later.', 'less'],
  ['450 4.7.1 Error: too many connections from 192.0.2.1', 'less'],
  ['451 4.7.0 Too many concurrent SMTP connections; please try again later', 'less'],
  ['450 4.2.1 The user you are trying to contact is receiving mail too quickly', 'less'],
  ['450 4.7.1 Recipient address rejected: Rate limit exceeded', 'less'],
  ['451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77714)', 'less'],
  ['452 4.3.1 Insufficient system storage', 'one'],
  ['452 4.3.2 System not accepting messages', 'less'],
  ['452 4.2.2 The recipient has exceeded the storage limit', 'one'],
  ['450 4.2.0 Recipient address rejected: Greylisted, too many new senders', 'one'],
  ['451 4.7.1 Greylisting in action, please come back later', 'one'],
  ['450 4.1.8 Sender address rejected: Domain not found', 'one'],
  ['550 5.7.1 Message rate limit exceeded', 'one'],
  ['554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org', 'block'],
  ['550 5.7.1 Our system has detected that your IP has a low reputation', 'block'],
  ['550 SC-001 Mail rejected; your address is on our blocklist', 'block'],
  ['550 5.1.1 User unknown', 'one'],
  ['552 5.2.2 Mailbox full', 'one'],
  ['554 5.7.1 Relay access denied', 'one'],
  ['550 5.1.8 Sender address rejected: unblocker.example does not exist', 'one'],
] as const) {
  test(`"${line}"`, () => {
    const said = parseReply(line);
    assert.equal(asksForLess(said) ? 'less' : isBlock(said) ? 'block' : 'one', meaning);
  });
}
