import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replyPattern } from '#shared/queue/reply-pattern.ts';

for (const [text, expected] of [
  ['<bob@example.net>: Recipient address rejected: Greylisted', '<…>: Recipient address rejected: Greylisted'],
  ['Mailbox of bob.o@example.net is full', 'Mailbox of <…> is full'],
  ['connect to 192.0.2.77 port 25: connection timed out', 'connect to # port #: connection timed out'],
  ['connect to 2001:db8::25 port 25: refused', 'connect to # port #: refused'],
  ['no connection to mx17.one.test[192.0.2.1]:25', 'no connection to mx#.one.test[#]:#'],
  ['Client host [198.51.100.7] blocked using zen.dnsbl.test', 'Client host [#] blocked using zen.dnsbl.test'],
  ['try again in 299 seconds', 'try again in # seconds'],
  ['queued as 4F2k9x1zQbzXW, id=9f86d081884c7d65', 'queued as #, #'],
  ['see https://help.test/rate?ip=192.0.2.1&t=5  now', 'see https://help.test/rate?… now'],
  ['our system a640c23a62f3a-ab67626ed54si1187.199 - gsmtp', 'our system #.# - gsmtp'],
  ['12:34:56 too busy', '# too busy'],
  ['no such user here', 'no such user here'],
] as const)
  test(`a reply of the kind: ${expected}`, () => {
    assert.equal(replyPattern({ code: 451, enhanced: '4.7.1', text }), `451 4.7.1 ${expected}`);
  });

test('a long reply is cut', () => {
  assert.equal(replyPattern({ code: 550, text: 'x'.repeat(5000) }).length, 201);
});
