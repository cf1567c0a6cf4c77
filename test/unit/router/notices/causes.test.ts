import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cause, causeOf } from '#services/router/notices/causes.ts';

const PEER = 'mx.peer.example[192.0.2.1]:25';

/** A reply, who gave it (a peer, or this router), and its cause. */
const ROWS: [said: string, by: 'peer' | 'us', Cause][] = [
  // A peer that contradicts itself, and a temporary form of a permanent code.
  ['550 4.1.1 x', 'peer', 'unknown-mailbox'],
  ['450 4.1.1 x', 'peer', 'unknown-mailbox'],
  ['550 5.1.2 x', 'us', 'unknown-domain'],
  ['550 5.4.4 x', 'us', 'unknown-domain'],
  ['553 5.1.3 x', 'us', 'bad-address'],
  ['553 x', 'peer', 'bad-address'],
  ['550 5.1.4 x', 'peer', 'ambiguous'],
  ['551 x', 'peer', 'moved'],
  ['551 5.1.6 x', 'peer', 'moved'],
  ['556 5.1.10 x', 'us', 'no-mail'],
  ['521 x', 'peer', 'no-mail'],
  ['553 5.1.8 x', 'peer', 'bad-sender'],
  ['550 5.7.27 x', 'peer', 'bad-sender'],
  ['550 5.2.1 x', 'peer', 'disabled'],
  ['552 5.2.2 x', 'peer', 'full'],
  ['452 4.2.2 x', 'peer', 'full'],
  ['552 x', 'peer', 'full'],
  ['552 5.3.4 x', 'us', 'too-large'],
  ['552 5.2.3 x', 'peer', 'too-large'],
  ['451 4.4.1 x', 'us', 'unreachable'],
  ['451 4.4.2 x', 'peer', 'unreachable'],
  ['554 5.4.6 x', 'us', 'loop'],
  ['550 5.3.0 x', 'us', 'removed'],
  ['550 5.3.0 x', 'peer', 'server-trouble'],
  ['553 5.6.7 x', 'peer', 'smtputf8'],
  ['554 5.6.3 x', 'us', 'content'],
  ['554 5.7.1 x', 'peer', 'policy'],
  ['554 5.7.0 x', 'peer', 'policy'],
  ['550 5.7.26 x', 'peer', 'authentication'],
  ['454 4.7.0 x', 'us', 'this-system'],
  ['550 5.7.10 x', 'us', 'tls'],
  ['454 4.7.5 x', 'us', 'tls'],
  ['454 4.7.5 x', 'peer', 'tls'],
  ['550 5.7.30 x', 'us', 'tls'],
  ['550 5.7.5 x', 'us', 'signing'],
  ['450 4.7.28 x', 'peer', 'rate'],
  ['421 x', 'peer', 'server-trouble'],
  ['452 4.3.1 x', 'peer', 'server-trouble'],
  ['451 4.3.1 x', 'us', 'this-system'],
  ['451 4.3.5 x', 'us', 'this-system'],
  ['451 x', 'us', 'this-system'],
  ['550 x', 'peer', 'refused'],
  ['554 5.0.0 x', 'peer', 'refused'],
];

for (const [said, by, expected] of ROWS) {
  test(`${said} of ${by} is explained as ${expected}`, () => {
    const [, code, enhanced] = /^(\d+)(?: (\d\.\d+\.\d+))? x$/.exec(said) ?? [];
    const reply = { code: Number(code), enhanced, text: 'x' };
    assert.equal(causeOf({ at: 0, reply, ...(by === 'peer' && { host: PEER }) }), expected);
  });
}
