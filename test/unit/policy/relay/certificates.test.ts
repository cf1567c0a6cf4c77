import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certificateWarnings } from '#cluster/config/rules/relay.ts';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import { messageFacts } from '#services/policy/gathering/message.ts';
import { recipientFacts } from '#services/policy/gathering/recipient.ts';
import { senderFacts } from '#services/policy/gathering/sender.ts';
import type { ClientCertificate } from '#shared/mail/tls.ts';
import { atOnce, checksOf, config, directory, facts, rulesOf } from '#test/unit/policy/fixtures.ts';

/** Clients that may relay because of their certificates (DOMINO T10). */

const FINGERPRINT = 'ab'.repeat(32);
const known: ClientCertificate = {
  subject: 'branch',
  fingerprint: FINGERPRINT,
  verified: true,
  names: ['branch.example.com', 'b2.example.com'],
  expires: 0,
};
const unverified: ClientCertificate = {
  subject: 'branch.example.com',
  fingerprint: FINGERPRINT,
  verified: false,
  expires: 0,
};

function client(certificate?: ClientCertificate, more: Partial<SessionFacts> = {}): SessionFacts {
  return facts({ tls: { protocol: 'TLSv1.3', cipher: 'c', ...(certificate && { certificate }) }, ...more });
}

const set = (relay: object) => config({ relay, domains: [{ name: 'example.com', local: true }] });

/** Why a client may relay, or may not: the last step. */
function mayRelay(who: SessionFacts, relay: object): [boolean, string | undefined] {
  const why: string[] = [];
  return [rulesOf(set(relay)).rules.mayRelay(who, 'far.test', why), why.at(-1)];
}

const TABLE: [entry: string, certificate: ClientCertificate | undefined, allowed: boolean, why: string][] = [
  ['branch.example.com', known, true, 'a name that an authority vouches for'],
  ['B2.Example.COM', known, true, 'another of its names, spelled otherwise'],
  ['example.com', known, false, 'a name above it'],
  ['x.branch.example.com', known, false, 'a name below it'],
  ['branch', known, false, 'the subject is no host name of a certificate with others'],
  ['branch.example.com', unverified, false, 'a name that nobody vouches for'],
  ['branch.example.com', { ...unverified, names: ['branch.example.com'] }, false, 'nor names that came along'],
  [`sha256:${FINGERPRINT}`, unverified, true, 'the fingerprint, whoever issued it'],
  ['AB:'.repeat(31).concat('AB'), known, true, 'as openssl prints it'],
  [`sha256:${'cd'.repeat(32)}`, known, false, 'another fingerprint'],
  ['branch.example.com', undefined, false, 'no certificate'],
];
for (const [entry, certificate, allowed, why] of TABLE) {
  test(`T10 relay by certificate: ${why}`, () => {
    const relay = { allow: { certificates: [entry] } };
    assert.equal(mayRelay(client(certificate), relay)[0], allowed);
    assert.equal(rulesOf(set(relay)).rules.trustedHost(client(certificate)) !== undefined, allowed);
  });
}

test('T10 a deny list that names the host takes it back, * does not', () => {
  const allow = { certificates: ['branch.example.com'] };
  assert.deepEqual(mayRelay(client(known), { allow, deny: { hosts: ['*'], domains: ['*'] } }), [
    true,
    'client is in relay.allow.certificates (branch.example.com): may relay',
  ]);
  assert.equal(mayRelay(client(known), { allow, deny: { hosts: ['192.0.2.0/24'] } })[0], false);
  assert.equal(mayRelay(client(known), { allow, deny: { hosts: ['192.0.2.0/24'] }, precedence: 'allow' })[0], true);
  const denied = rulesOf(set({ allow, deny: { hosts: ['192.0.2.0/24'] } })).rules;
  assert.equal(denied.trustedCertificate(client(known)), undefined);
});

test('T10 it counts through a gateway too, where the address says nothing', () => {
  const relay = { allow: { hosts: ['192.0.2.0/24'], certificates: ['branch.example.com'] } };
  assert.equal(mayRelay(client(undefined, { gateway: true }), relay)[0], false);
  assert.equal(mayRelay(client(known, { gateway: true }), relay)[0], true);
});

test('T10 from MAIL on such a client is internal, and its mail originates at this server', () => {
  const from = set({ allow: { certificates: ['branch.example.com'] } });
  const deps = { ...rulesOf(from), checks: checksOf(from), config: from, now: new Date(0), ask: () => directory() };
  const sender = (who: SessionFacts) =>
    decide(
      'sender',
      atOnce(senderFacts({ facts: who, reversePath: 'a@x.test' }, { ...deps, anonymous: checksOf(from).exempt })),
    );
  const first = sender(client(known));
  assert.ok(first.action === 'accept');
  assert.equal(first.scope, 'internal');
  const other = sender(client(unverified));
  assert.ok(other.action === 'accept');
  assert.equal(other.scope, undefined);

  const recipient = { address: 'bob@far.test' };
  const ours = client(known, { scope: 'internal' });
  const rcpt = (who: SessionFacts) =>
    decide(
      'recipient',
      atOnce(recipientFacts({ facts: who, reversePath: 'a@x.test', recipient }, { ...deps, srs: undefined })),
    );
  assert.equal(rcpt(ours).action, 'accept');
  assert.equal(rcpt(client(unverified)).action, 'reject');

  const message = { queueId: 'Q', reversePath: 'a@x.test', recipients: ['bob@far.test'], smtpUtf8: false, size: 9 };
  const header = Buffer.from('From: a@x.test\r\n\r\n');
  const verdict = decide('message', atOnce(messageFacts({ facts: ours, ...message }, header, deps)));
  assert.ok(verdict.action === 'accept');
  assert.equal(verdict.originating, true);
});

test('T10 what is neither a fingerprint nor a host name is refused', () => {
  for (const entry of ['sha256:ab', 'ab:cd', 'sha1:'.concat('ab'.repeat(20)), '*', 'a b', '*.example.com'])
    assert.throws(() => config({ relay: { allow: { certificates: [entry] } } }), /fingerprint/, entry);
  assert.throws(() => config({ relay: { deny: { certificates: ['a.test'] } } }), /certificates/);
});

test('T10 certificates that no listener asks for are told of', () => {
  const listener = { name: 'mx', kind: 'relay', port: 25 };
  const relay = { allow: { certificates: ['a.test'] } };
  const warned = (listeners: object[]) => certificateWarnings(ConfigSchema.parse({ listeners, relay })).length;
  assert.equal(warned([listener]), 1);
  assert.equal(warned([listener, { ...listener, name: 'b', 'client-certificates': {} }]), 0);
  assert.equal(warned([]), 0, 'the listeners run elsewhere');
});
