import assert from 'node:assert/strict';
import { test } from 'node:test';
import { troubleError } from '#services/credential-store/dns/trouble.ts';

/** What ends without a person is tried again all the time; the rest is reported as needing one. */
for (const [trouble, code] of [
  // Said of a zone that is frozen, not loaded yet or new, and also to a key without permission.
  ['REFUSED', 'dns-failed'],
  ['NOTAUTH', 'dns-failed'],
  ['SERVFAIL', 'dns-failed'],
  ['BADTIME', 'dns-failed'],
  ['RCODE 23', 'dns-failed'],
  ['no answer', 'dns-failed'],
  ['BADKEY', 'dns-refused'],
  ['BADSIG', 'dns-refused'],
  ['NOTZONE', 'dns-refused'],
  ['NOTIMP', 'dns-refused'],
  ['FORMERR', 'dns-refused'],
  ['foreign record', 'dns-refused'],
  ['zone cut', 'dns-refused'],
] as const) {
  test(`${trouble} ${code === 'dns-failed' ? 'passes' : 'needs a person'}`, () =>
    assert.equal(troubleError(trouble, 'text').code, code));
}
