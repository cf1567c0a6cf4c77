import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '#services/policy/checks.ts';
import type { SessionFacts } from '#services/policy/contract.ts';
import type { Directory } from '#services/policy/directory/directory.ts';
import { recipientFacts } from '#services/policy/gathering/recipient.ts';
import type { EnvelopeRecipient } from '#shared/mail/envelope.ts';
import { atOnce, checksOf, config, directory, facts, rulesOf } from './fixtures.ts';

const CONFIG = config({
  node: { hostname: 'mx1.example.com' },
  relay: {
    allow: { hosts: ['10.0.0.0/8'], domains: ['partner.test'] },
    deny: { hosts: ['*'], domains: ['evil.test'] },
  },
  domains: [{ name: 'example.com', local: true }, { name: 'bücher.example', local: true }, { name: 'other.test' }],
});
const USERS = directory();
const NONE = null;
/** All of them are off. */
const CHECKS = checksOf(CONFIG);

const outside = facts();
const internal = facts({ client: { address: '10.1.2.3', name: null, helo: 'x' }, scope: 'internal' });
const alice = facts({ kind: 'submission', user: 'Alice' });

function ask(who: SessionFacts, address: string, users: Directory | undefined | null, rules = CONFIG) {
  const deps = { ...rulesOf(rules), ask: () => users, checks: CHECKS, config: rules, now: new Date(0) };
  return decide(
    'recipient',
    atOnce(recipientFacts({ facts: who, reversePath: 'author@example.net', recipient: { address } }, deps)),
  );
}

/** A list: accepted for these addresses. A text: refused with this reply. */
const TABLE: [
  who: SessionFacts,
  users: Directory | undefined | null,
  address: string,
  expected: string[] | string,
  why: string,
][] = [
  [outside, USERS, 'victim%far.test@example.com', '550 5.1.1', 'percent hack, directory'],
  [outside, NONE, 'victim%far.test@example.com', '550 5.7.1', 'percent hack, no directory'],
  [outside, NONE, 'far.test!victim@example.com', '550 5.7.1', 'bang path'],
  [outside, NONE, '"victim@far.test"@example.com', '550 5.7.1', 'quoted address'],
  [outside, NONE, '"victim%far.test"@example.com', '550 5.7.1', 'quoted percent hack'],
  [outside, NONE, '/etc/passwd@example.com', '550 5.7.1', 'a path'],
  [outside, NONE, '"/c=de/s=x"@example.com', '550 5.7.1', 'a quoted path'],
  [outside, NONE, '@example.com:victim@far.test', '550 5.7.1', 'source route'],
  [internal, NONE, '@example.com:victim@far.test', '550 5.7.1', 'source route, of whomever'],
  [outside, USERS, 'victim@far.test@example.com', '550 5.7.1', 'two @'],
  [outside, USERS, 'alice+x%far.test@example.com', '550 5.7.1', 'percent hack in the tag of a mailbox'],
  [outside, USERS, 'alice+x!y@example.com', '550 5.7.1', 'bang path in the tag of a mailbox'],
  [
    outside,
    USERS,
    'sales+x%y@example.com',
    ['alice@example.com', 'bob@example.com', 'archive@example.net', 'partner@example.net'],
    'the tag of an alias goes nowhere',
  ],
  [alice, USERS, 'bob+x%y@example.com', ['bob@example.com', 'archive@example.net'], 'an alias, of a user'],
  [alice, USERS, 'alice+x%y@example.com', ['alice+x%y@example.com'], 'a user may write what he likes'],
  [outside, NONE, 'victim%far.test@partner.test', '550 5.7.1', 'percent hack at an allowed domain'],
  [internal, NONE, 'a%b@far.test', ['a%b@far.test'], 'a trusted host may write what it likes'],
  [outside, USERS, 'victim%example.com@far.test', '554 5.7.1', 'percent hack the other way'],
  [outside, USERS, 'user@[127.0.0.1]', '554 5.7.1', 'a domain literal is not local'],
  [alice, USERS, 'user@[192.0.2.1]', ['user@[192.0.2.1]'], 'a user may send to a literal'],
  [outside, USERS, 'alice@far.test', '554 5.7.1', 'relay closed'],
  [outside, USERS, 'alice@sub.example.com', '554 5.7.1', 'below a local domain'],
  [outside, USERS, 'alice@notexample.com', '554 5.7.1', 'suffix text'],
  [outside, USERS, 'x@other.test', '554 5.7.1', 'configured, not local'],
  [outside, USERS, 'x@partner.test', ['x@partner.test'], 'allowed domain'],
  [outside, USERS, 'x@Sub.Partner.TEST', ['x@sub.partner.test'], 'below an allowed domain'],
  [internal, USERS, 'x@far.test', ['x@far.test'], 'allowed host'],
  [internal, USERS, 'x@evil.test', '554 5.7.1', 'denied domain wins'],
  [alice, USERS, 'x@evil.test', ['x@evil.test'], 'a user is exempt'],
  [alice, USERS, 'nobody@example.com', '550 5.1.1', 'unknown for a user too'],
  [outside, USERS, 'alice@example.com', ['alice@example.com'], 'a mailbox'],
  [outside, USERS, 'ALICE+Tag@EXAMPLE.com.', ['alice+Tag@example.com'], 'case, tag, root dot'],
  [outside, USERS, '"alice"@example.com', ['alice@example.com'], 'needless quotes'],
  [outside, USERS, 'Jürgen@BÜCHER.example', ['jürgen@xn--bcher-kva.example'], 'not ASCII'],
  [
    outside,
    USERS,
    'team@example.com',
    ['bob@example.com', 'archive@example.net', 'alice@example.com'],
    'an alias, one target outside',
  ],
  [outside, USERS, 'nobody@example.com', '550 5.1.1', 'unknown'],
  [outside, NONE, 'Nobody@example.com', ['Nobody@example.com'], 'no directory: everybody, as written'],
  [outside, undefined, 'alice@example.com', '451 4.3.0', 'the directory cannot be read'],
  [outside, undefined, 'x@far.test', '554 5.7.1', 'which does not matter to relaying'],
  [outside, USERS, 'Postmaster@example.com', ['Postmaster@example.com'], 'postmaster of a local domain'],
  [outside, USERS, 'postmaster', ['postmaster@example.com'], 'postmaster without a domain'],
  [outside, USERS, 'postmaster@far.test', '554 5.7.1', 'postmaster elsewhere'],
  [outside, USERS, 'postmaster%far.test@example.com', '550 5.1.1', 'not postmaster'],
  [outside, USERS, 'alice', '553 5.1.3', 'no domain'],
  [outside, USERS, 'alice@', '553 5.1.3', 'an empty domain'],
  [outside, USERS, '@example.com', '553 5.1.3', 'an empty local part'],
  [internal, USERS, 'alice', '553 5.1.3', 'no domain, trusted'],
];

test('R8 a host that may write routes by its name is not refused for good because DNS did not give it', () => {
  const rules = config({
    relay: { allow: { hosts: ['gate.example.org'] } },
    domains: [{ name: 'example.com', local: true }],
  });
  for (const [users, address] of [
    [NONE, 'a%b@example.com'],
    [USERS, 'alice+x%y@example.com'],
  ] as const) {
    const verdict = ask({ ...outside, nameFailed: true }, address, users, rules);
    assert.ok(verdict.action === 'defer' && verdict.reply.code === 451, address);
  }
});

for (const [who, users, address, expected, title] of TABLE) {
  test(`${title}: ${address}`, () => {
    const verdict = ask(who, address, users);
    assert.ok(verdict.why.length > 0);
    if (typeof expected === 'string') {
      assert.ok(verdict.action !== 'accept', JSON.stringify(verdict));
      assert.equal(`${verdict.reply.code} ${verdict.reply.enhanced}`, expected);
      assert.equal(verdict.action, expected.startsWith('5') ? 'reject' : 'defer');
    } else {
      assert.ok(verdict.action === 'accept', JSON.stringify(verdict));
      assert.deepEqual(
        verdict.recipients.map((r) => r.address),
        expected,
      );
    }
  });
}

test('the refusal has the words that monitoring looks for, and gives its steps in order', () => {
  const verdict = ask(outside, 'x@far.test', USERS);
  assert.ok(verdict.action === 'reject');
  assert.equal(verdict.reply.text, 'Relay rejected for policy reasons');
  assert.deepEqual(verdict.why, [
    'far.test is not local',
    'client is not in relay.allow.hosts',
    'domain far.test is not in relay.allow.domains',
    'relay.deny.hosts has *: relay refused',
  ]);
});

const nameless = facts({ client: { address: '192.0.2.7', name: null, helo: 'x' }, nameFailed: true });
const BY_NAME: [why: string, relay: Record<string, unknown>, who: SessionFacts, expected: string][] = [
  ['a name could allow it', { allow: { hosts: ['trusted.test'] } }, nameless, '451 4.4.3'],
  [
    'a name, with all others denied',
    { allow: { hosts: ['trusted.test'] }, deny: { hosts: ['*'] } },
    nameless,
    '451 4.4.3',
  ],
  [
    'DNS said that there is no name',
    { allow: { hosts: ['trusted.test'] } },
    { ...nameless, nameFailed: false },
    '554 5.7.1',
  ],
  ['only addresses are trusted', { allow: { hosts: ['10.0.0.0/8'] } }, nameless, '554 5.7.1'],
  [
    'the address is denied',
    { allow: { hosts: ['trusted.test'] }, deny: { hosts: ['192.0.2.7'] } },
    nameless,
    '554 5.7.1',
  ],
  [
    'the domain is denied',
    { allow: { hosts: ['trusted.test'] }, deny: { domains: ['far.test'] } },
    nameless,
    '554 5.7.1',
  ],
];
for (const [why, relay, who, expected] of BY_NAME) {
  test(`DNS is down at connect, ${why}: ${expected}`, () => {
    const verdict = ask(who, 'x@far.test', USERS, config({ relay }));
    assert.ok(verdict.action !== 'accept');
    assert.equal(`${verdict.reply.code} ${verdict.reply.enhanced}`, expected);
  });
}

test('without a local domain, postmaster is at the node', () => {
  const bare = config({ node: { hostname: 'mx9.example.net' } });
  const verdict = ask(outside, 'POSTMASTER', USERS, bare);
  assert.ok(verdict.action === 'accept');
  assert.equal(verdict.recipients[0]?.address, 'POSTMASTER@mx9.example.net');
});

test('an alias keeps what RCPT named and the DSN parameters; a plain recipient has no original', () => {
  const deps = { ...rulesOf(CONFIG), ask: () => USERS, checks: CHECKS, config: CONFIG, now: new Date(0) };
  const dsn = { orcpt: 'rfc822;team@example.com', notify: ['FAILURE' as const] };
  const ask = (recipient: EnvelopeRecipient) =>
    decide('recipient', atOnce(recipientFacts({ facts: outside, reversePath: 'author@example.net', recipient }, deps)));
  const verdict = ask({ address: 'Team@Example.com', ...dsn });
  assert.ok(verdict.action === 'accept');
  assert.deepEqual(verdict.recipients[1], { address: 'archive@example.net', original: 'Team@example.com', ...dsn });
  const plain = ask({ address: 'alice@Example.com' });
  assert.ok(plain.action === 'accept');
  assert.deepEqual(plain.recipients, [{ address: 'alice@example.com' }]);
});
