import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionFacts } from '#services/policy/contract.ts';
import { receivedField } from '#services/policy/message/received.ts';
import { facts } from '#test/unit/policy/fixtures.ts';

const now = new Date('2026-03-09T08:07:06.999Z');
const tls = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' };

function received(changes: Partial<SessionFacts> = {}, recipients = ['bob@example.com'], smtpUtf8 = false): string {
  return receivedField({
    session: facts(changes),
    hostname: 'mx1.example.com',
    queueId: '01ABCDEFGHJKMNPQ',
    recipients,
    smtpUtf8,
    now,
  });
}

const unfold = (field: string) => field.replace(/\r\n\t/g, ' ');
const client = (address: string, name: string | null, helo: string) => ({ client: { address, name, helo } });

test('every clause on a line of its own', () => {
  assert.equal(
    received({ tls }),
    'Received: from mail.example.org (mail.example.org [192.0.2.7])\r\n' +
      '\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n' +
      '\tby mx1.example.com with ESMTPS id 01ABCDEFGHJKMNPQ\r\n' +
      '\tfor <bob@example.com>;\r\n' +
      '\tMon, 09 Mar 2026 08:07:06 +0000\r\n',
  );
});

test('the name of the cipher suite in the registry of IANA (RFC 8314 §4.3)', () => {
  const suite = 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384';
  const named = { protocol: 'TLSv1.2', cipher: 'ECDHE-RSA-AES256-GCM-SHA384', suite };
  assert.match(
    unfold(received({ tls: named })),
    / \(using TLSv1\.2 with cipher ECDHE-RSA-AES256-GCM-SHA384\) by .* for <bob@example\.com> tls TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384; Mon, /,
  );
  assert.match(unfold(received({ tls: named }, [])), / id 01ABCDEFGHJKMNPQ tls TLS_ECDHE_RSA_\w+; Mon, /);
});

const WITH: [changes: Partial<SessionFacts>, smtpUtf8: boolean, expected: string][] = [
  [{}, false, 'ESMTP'],
  [{ greeting: 'EHLO' }, false, 'ESMTP'],
  [{ greeting: 'HELO' }, false, 'SMTP'],
  [{ greeting: 'HELO', tls }, false, 'ESMTPS'],
  [{ greeting: 'HELO', user: 'alice' }, false, 'ESMTPA'],
  [{ greeting: 'HELO' }, true, 'UTF8SMTP'],
  [{ user: 'alice' }, false, 'ESMTPA'],
  [{ tls }, false, 'ESMTPS'],
  [{ tls, user: 'alice' }, false, 'ESMTPSA'],
  [{}, true, 'UTF8SMTP'],
  [{ user: 'alice' }, true, 'UTF8SMTPA'],
  [{ tls }, true, 'UTF8SMTPS'],
  [{ tls, user: 'alice' }, true, 'UTF8SMTPSA'],
];
for (const [changes, smtpUtf8, expected] of WITH) {
  test(`with ${expected} (RFC 3848, RFC 6531)`, () =>
    assert.match(unfold(received(changes, undefined, smtpUtf8)), new RegExp(` with ${expected} id `)));
}

const HOSTILE = 'x) by mx1.example.com; Mon\r\nX-Evil: (yes';

const FROM: [changes: Partial<SessionFacts>, expected: string, why: string][] = [
  [
    client('192.0.2.7', null, HOSTILE),
    'from xbymx1.example.comMonX-Evil:yes (unknown [192.0.2.7])',
    'a hostile greeting',
  ],
  [client('192.0.2.7', HOSTILE, 'x'), 'from x (xbymx1.example.comMonX-Evil:yes [192.0.2.7])', 'a hostile name'],
  [client('192.0.2.7', null, ''), 'from unknown (unknown [192.0.2.7])', 'no greeting'],
  [client('192.0.2.7', null, 'jörg\u2028'), 'from jrg (unknown [192.0.2.7])', 'not ASCII'],
  [client('2001:0DB8::1', null, '[IPv6:2001:db8::1]'), 'from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])', 'IPv6'],
  [client('::ffff:192.0.2.7', null, '[192.0.2.7]'), 'from [192.0.2.7] (unknown [192.0.2.7])', 'IPv4 on an IPv6 socket'],
  [client('fe80::1%eth0', null, 'x'), 'from x (unknown [IPv6:fe80::1])', 'a zone'],
  [client('nonsense', null, 'x'), 'from x (unknown)', 'no address'],
];
for (const [changes, expected, why] of FROM) {
  test(`from, ${why}`, () => {
    const field = received(changes);
    assert.ok(unfold(field).startsWith(`Received: ${expected} by `), field);
    assert.equal(field.split('\r\n').filter((line) => line !== '' && !line.startsWith('\t')).length, 1, 'one field');
  });
}

const FOR: [recipients: string[], expected: string, why: string][] = [
  [['a@x.test', 'b@x.test'], '', 'several would tell each about the others'],
  [[], '', 'none'],
  [['postmaster'], '', 'no domain'],
  [['jörg@x.test'], '', 'not ASCII'],
  [['a@x.test>; evil'], '', 'what could break the field'],
  [['"a;b"@x.test'], '', 'a quoted semicolon'],
  [['a+b@x.test'], 'for <a+b@x.test>;', 'one'],
];
for (const [recipients, expected, why] of FOR) {
  test(`for, ${why}`, () => {
    const field = unfold(received({}, recipients));
    assert.match(
      field,
      expected === ''
        ? / id 01ABCDEFGHJKMNPQ; Mon, /
        : new RegExp(` id 01ABCDEFGHJKMNPQ ${expected.replaceAll('+', '\\+')} Mon, `),
    );
  });
}

test('SMTPNoVersionInRcvdHdr: neither product nor user appears', () => {
  assert.doesNotMatch(received({ user: 'alice', tls }, ['bob@example.com']), /sealpost|alice/i);
});

test('lines stay within 78 characters where words allow, and within 998 always', () => {
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`;
  const field = received({ ...client('2001:db8:1111:2222:3333:4444:5555:6666', 'c'.repeat(70), long), tls }, [
    `${'d'.repeat(64)}@${long}`,
  ]);
  for (const line of field.split('\r\n'))
    assert.ok(line.length <= 78 || !line.trim().includes(' ') || line.startsWith('Received: '), line);
  assert.ok(
    received(client('192.0.2.7', null, 'x'.repeat(5000)))
      .split('\r\n')
      .every((line) => line.length <= 998),
  );
});
