import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExtensions } from '#services/router/delivery/smtp/extensions.ts';
import { isSendable, mailCommand, rcptCommand } from '#services/router/delivery/smtp/transaction/commands.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { testJob } from '#test/unit/router/delivery/fixtures.ts';

const ADDRESSES: [string, boolean][] = [
  ['', false],
  ['a@b.test\r\nRCPT TO:<x@y.test', false],
  ['a@b.test\n', false],
  ['a\0@b.test', false],
  ['a b@c.test', false],
  ['a>@c.test', false],
  ['a@c.test> NOTIFY=NEVER', false],
  ['"a\r\n"@c.test', false],
  ['"a"b"@c.test', false],
  ['a@', false],
  [`${'a'.repeat(1000)}@b.test`, false],
  ['"a b>\\" c"@d.test', true],
  ['a@b.test', true],
  ['postmaster', true],
  ['bücher@xn--bcher-kva.test', true],
  ['a@[192.0.2.1]', true],
  ['a@[IPv6:2001:db8::1]', true],
  ["o'neill+x=y@b.test", true],
];
for (const [address, sendable] of ADDRESSES) {
  test(`${JSON.stringify(address.slice(0, 40))} ${sendable ? 'can' : 'cannot'} be written in a command`, () => {
    assert.equal(isSendable(address), sendable);
  });
}

const NOTHING = parseExtensions(['peer']);
const ALL = parseExtensions(['peer', 'SIZE 1000', '8BITMIME', 'SMTPUTF8', 'DSN', 'PIPELINING']);

test('a peer that offers nothing gets no parameters', () => {
  const job = testJob({ eightBitBody: true, ret: 'HDRS', envid: 'x' });
  assert.equal(mailCommand(job, 99, NOTHING), 'MAIL FROM:<a@sender.test>\r\n');
  const recipient: EnvelopeRecipient = { address: 'b@c.test', notify: ['NEVER'], orcpt: 'rfc822;b@c.test' };
  assert.equal(rcptCommand(recipient, NOTHING), 'RCPT TO:<b@c.test>\r\n');
});

test('MAIL with everything', () => {
  const job = testJob({ reversePath: '', smtpUtf8: true, ret: 'HDRS', envid: 'a+b=c d' });
  assert.equal(
    mailCommand(job, 99, ALL),
    'MAIL FROM:<> SIZE=99 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc+20d\r\n',
  );
});

test('an ENVID that has become too long for the peer is left out', () => {
  const line = mailCommand(testJob({ envid: '='.repeat(34) }), 99, ALL);
  assert.equal(line, 'MAIL FROM:<a@sender.test> SIZE=99\r\n');
});

const RECIPIENTS: [string, EnvelopeRecipient, string][] = [
  ['nothing asked', { address: 'b@c.test' }, ''],
  ['an empty NOTIFY', { address: 'b@c.test', notify: [] }, ''],
  ['NOTIFY', { address: 'b@c.test', notify: ['SUCCESS', 'FAILURE'] }, ' NOTIFY=SUCCESS,FAILURE'],
  ['ORCPT', { address: 'b@c.test', orcpt: 'rfc822;x+y=z@c.test' }, ' ORCPT=rfc822;x+2By+3Dz@c.test'],
  ['ORCPT that would end the line', { address: 'b@c.test', orcpt: 'rfc822;a\r\nDATA' }, ' ORCPT=rfc822;a+0D+0ADATA'],
  ['ORCPT that is too long as xtext', { address: 'b@c.test', orcpt: `rfc822;${'='.repeat(165)}` }, ''],
  ['ORCPT that is too long in ASCII', { address: 'b@c.test', orcpt: `utf-8;${'ü'.repeat(90)}@c.test` }, ''],
  ['ORCPT without type', { address: 'b@c.test', orcpt: 'x@c.test' }, ''],
  ['ORCPT of an alias', { address: 'b@c.test', original: 'alias@c.test' }, ' ORCPT=rfc822;alias@c.test'],
  [
    'ORCPT before the alias',
    { address: 'b@c.test', original: 'alias@c.test', orcpt: 'rfc822;first@c.test' },
    ' ORCPT=rfc822;first@c.test',
  ],
  ['ORCPT that is not ASCII', { address: 'b@c.test', orcpt: 'rfc822;bücher@c.test' }, ''],
  [
    'ORCPT in utf-8',
    { address: 'b@c.test', orcpt: 'utf-8;bücher+\\😀@c.test' },
    ' ORCPT=utf-8;b\\x{FC}cher\\x{2B}\\x{5C}\\x{1F600}@c.test',
  ],
];
for (const [name, recipient, parameters] of RECIPIENTS) {
  test(`RCPT with ${name}`, () => {
    assert.equal(rcptCommand(recipient, ALL), `RCPT TO:<b@c.test>${parameters}\r\n`);
  });
}

test('extensions are read whatever their case and shape', () => {
  const peer = parseExtensions(['PIPELINING', 'size', '8bitmime x', 'AUTH=LOGIN', 'auth PLAIN  XOAUTH2', '', 'SIZE 5']);
  assert.equal(peer.pipelining, false, 'the first line is a name');
  assert.deepEqual(peer.size, { offered: true, limit: 5 });
  assert.equal(peer.eightBitMime, true);
  assert.deepEqual([...peer.auth], ['LOGIN', 'PLAIN', 'XOAUTH2']);
  assert.deepEqual(parseExtensions(['x', 'SIZE 1e9']).size, { offered: true, limit: 0 });
  assert.deepEqual(parseExtensions([]), parseExtensions(['only a name']));
});
