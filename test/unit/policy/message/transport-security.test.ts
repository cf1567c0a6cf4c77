import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import { transportField } from '#services/policy/message/transport-security.ts';
import { atOnce, config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

/** The field that tells recipients how a message came (DOMINO T5). */

const DOMAINS = [
  { name: 'example.com', local: true, 'tls-header': true },
  { name: 'quiet.test', local: true },
  { name: 'far.test', 'tls-header': true },
];
const ALIASES = { 'alias.test': 'example.com' };

function accept(to: string[], header = 'From: a@x.test\r\n\r\n', who: SessionFacts = facts()) {
  const set = config({ domains: DOMAINS, rewrite: { 'domain-aliases': ALIASES } });
  const deps = { ...rulesOf(set), ask: () => directory(), config: set, now: new Date(0) };
  const request = { queueId: 'Q', reversePath: 'a@x.test', recipients: to, smtpUtf8: false, size: 9 };
  const verdict = decide('message', atOnce(messageFacts({ facts: who, ...request }, Buffer.from(header), deps)));
  assert.ok(verdict.action === 'accept');
  return { header: verdict.header, told: verdict.prepend.filter((field) => field.startsWith('Sealpost-')) };
}

const FIELD =
  'Sealpost-Transport-Security: clear;\r\n\tfrom=mail.example.org;\r\n\taddress=192.0.2.7\r\n\t(the last hop only)\r\n';
const FORGED = 'sealpost-Transport-security : verified;\r\n version=TLSv1.3\r\n';

test('T5 mail for a local domain that asks for it has the field', () => {
  for (const to of [['bob@Example.COM'], ['postmaster'], ['x@quiet.test', 'bob@example.com'], ['bob@alias.test']])
    assert.deepEqual(accept(to), { header: undefined, told: [FIELD] }, to.join());
  for (const to of [['bob@quiet.test'], ['bob@far.test'], ['bob@sub.example.com']])
    assert.deepEqual(accept(to), { header: undefined, told: [] }, to.join());
});

test('T5 fields of that name are removed where it is set, and stay where it is not', () => {
  const header = `${FORGED}From: a@x.test\r\n${FORGED}\r\n`;
  const clean = { header: 'From: a@x.test\r\n\r\n', told: [FIELD] };
  assert.deepEqual(accept(['bob@example.com'], header), clean);
  assert.deepEqual(accept(['bob@example.com'], header, facts({ scope: 'internal' })), clean, 'of an internal host too');
  assert.deepEqual(accept(['bob@quiet.test'], header), { header: undefined, told: [] });
});

const VALUES: [changes: Partial<SessionFacts>, expected: RegExp][] = [
  [{}, /^clear; from=mail\.example\.org; address=192\.0\.2\.7 \(/],
  [
    {
      tls: {
        protocol: 'TLSv1.2',
        cipher: 'ECDHE-RSA-AES128-GCM-SHA256',
        suite: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
      },
    },
    /^encrypted; version=TLSv1\.2; cipher=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; from=/,
  ],
  [{ tls: { protocol: 'TLSv1.3', cipher: 'C' }, user: 'al;ice' }, /^encrypted; .*authenticated=yes \(/],
  [
    {
      tls: {
        protocol: 'TLSv1.3',
        cipher: 'C',
        certificate: { subject: 'x;\r\ny', fingerprint: '', verified: true, names: [], expires: 0 },
      },
    },
    /^verified; version=TLSv1\.3; cipher=C; certificate=x___y; from=/,
  ],
  [
    {
      tls: {
        protocol: 'TLSv1.3',
        cipher: 'C',
        certificate: { subject: 'x', fingerprint: '', verified: false, expires: 0 },
      },
    },
    /^encrypted; version=TLSv1\.3; cipher=C; from=/,
  ],
  [{ client: { address: '2001:db8::1', name: null, helo: 'x' } }, /^clear; address=2001:db8::1 \(/],
];
for (const [changes, expected] of VALUES) {
  test(`T5 the field says ${expected}`, () => {
    const [, value = ''] = /^Sealpost-Transport-Security: (.*)\r\n$/s.exec(transportField(facts(changes))) ?? [];
    assert.match(value.replaceAll('\r\n\t', ' '), expected);
    assert.ok(value.split('\r\n').every((line) => line.length < 78));
  });
}
