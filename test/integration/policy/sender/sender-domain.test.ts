import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { SessionFacts } from '#services/policy/contract.ts';
import { answerTo, FakeDns } from '#test/kit/dns/fake-dns.ts';
import { NameServer } from '#test/kit/dns/name-server.ts';
import { said, startPolicy } from '#test/kit/nodes/policy.ts';
import { needs } from '#test/kit/runner/peers.ts';
import { tempDir } from '#test/kit/temp.ts';
import { waitFor } from '#test/kit/wait.ts';
import { facts, USERS } from '#test/unit/policy/fixtures.ts';

/** Domains of senders in a BIND; what is in none of its zones is REFUSED, which is trouble. */
const ZONES = {
  'example.test': `
mx MX 10 mail
a A 192.0.2.1
aaaa AAAA 2001:db8::1
null MX 0 .
mixed MX 0 .
mixed MX 10 mail
text TXT "nothing else"
alias CNAME mx
mail A 192.0.2.2`,
};

let bind: NameServer;
before(async () => {
  bind = await NameServer.start(ZONES);
});
after(() => bind[Symbol.asyncDispose]());

const NULL_MX = '550 5.7.27 Sender domain null.example.test takes no mail: it has a null MX';
const missing = (name: string) => `550 5.1.8 Sender domain ${name} does not exist in DNS`;
const NAME_UNKNOWN = '451 4.4.3 Name of your host cannot be looked up now, please try again later';
const LATER = 'cannot be looked up now, please try again later';

const TABLE: [path: string, expected: string, session?: Partial<SessionFacts>][] = [
  ['a@mx.example.test', '250'],
  ['a@a.example.test', '250'],
  ['a@aaaa.example.test', '250'],
  ['a@MIXED.example.test', '250'],
  ['a@alias.example.test', '250'],
  ['', '250'],
  ['a@[192.0.2.1]', '250'],
  ['a@local.test', '250'],
  ['a@null.example.test', NULL_MX],
  ['a@gone.example.test', missing('gone.example.test')],
  ['a@below.gone.example.test', missing('below.gone.example.test')],
  ['a@text.example.test', '550 5.1.8 Sender domain text.example.test has neither MX nor address records'],
  ['a@elsewhere.example', `451 4.4.3 Sender domain elsewhere.example ${LATER}`],
  ['a@gone.example.test', NAME_UNKNOWN, { nameFailed: true }],
  ['a@null.example.test', NAME_UNKNOWN, { nameFailed: true }],
  ['alice@gone.example.test', '250', { user: 'alice' }],
  ['a@gone.example.test', '250', { scope: 'internal' }],
  ['a@gone.example.test', '250', { client: { address: '192.0.2.99', name: null, helo: 'x' } }],
  ['a@gone.example.test', '250', { client: { address: '198.51.100.1', name: 'out.partner.example', helo: 'x' } }],
];

const input = (more: object = {}) => ({
  domains: [{ name: 'local.test', local: true }],
  checks: { exempt: ['192.0.2.96/28', 'partner.example'], 'sender-domain': { enabled: true, ...more } },
});

test('SMTPVerifySendersDomainTimeout: the domain of the sender must take mail', needs('named'), async (t) => {
  await using folder = await tempDir('users');
  const file = join(folder.path, 'users.yaml');
  await writeFile(file, USERS.replace('alice@example.com,', 'alice@example.com, "*",'));
  await using site = await startPolicy(bind.server, { ...input(), directory: { users: file } });
  for (const [reversePath, expected, session] of TABLE) {
    await t.test(
      `<${reversePath}> of ${JSON.stringify(session ?? 'a stranger')}: ${expected.slice(0, 9)}`,
      async () => {
        assert.equal(said(await site.policy['sender-check']({ facts: facts(session), reversePath })), expected);
      },
    );
  }
});

test('users and internal hosts are checked where that is asked for', needs('named'), async () => {
  await using site = await startPolicy(bind.server, input({ authenticated: 'checked', trusted: 'checked' }));
  const ask = async (session: Partial<SessionFacts>) =>
    said(await site.policy['sender-check']({ facts: facts(session), reversePath: 'a@gone.example.test' }));
  assert.equal(await ask({ scope: 'internal' }), missing('gone.example.test'));
  // Whose address it is comes first: a user is told that.
  assert.match(await ask({ user: 'alice' }), /^553 5\.7\.1/);
});

test('SMTPVerifySendersDomainTimeout: a name server that is silent costs the time limit once, then the sender waits or passes', {
  ...needs('named'),
  timeout: 30_000,
}, async () => {
  await using silent = await NameServer.start(ZONES);
  await silent.pause();
  for (const [onTrouble, expected] of [
    ['defer', `451 4.4.3 Sender domain mx.example.test ${LATER}`],
    ['accept', '250'],
  ] as const) {
    await using site = await startPolicy(silent.server, input({ timeout: '500ms', 'on-trouble': onTrouble }));
    const ask = () => site.policy['sender-check']({ facts: facts(), reversePath: 'a@mx.example.test' });
    const began = performance.now();
    const verdict = await ask();
    const took = performance.now() - began;
    assert.equal(said(verdict), expected);
    assert.ok(took >= 450 && took < 3000, `${took} ms`);
    assert.match(verdict.why.join('; '), /mx\.example\.test cannot be looked up: .*no answer within 0\.5 s/);
    assert.equal(site.lines().filter(({ msg }) => msg === 'domain of a sender cannot be looked up').length, 1);
    const again = performance.now();
    assert.equal(said(await ask()), expected);
    assert.ok(performance.now() - again < 200);
  }
});

test('a stranger who keeps DNS busy with slow domains does not defer the senders of others', async () => {
  await using dns = await FakeDns.start((query) => {
    const { name = '' } = query.questions[0] ?? {};
    return name.endsWith('.silent.test') ? undefined : answerTo(query, { rcode: 3 });
  });
  await using site = await startPolicy(dns.server, input({ timeout: '3s' }));
  const ask = (ip: string, domain: string, more: Partial<SessionFacts> = {}) => {
    const session = facts({ client: { address: ip, name: null, helo: 'x' }, ...more });
    return site.policy['sender-check']({ facts: session, reversePath: `a@${domain}` });
  };
  const flood = Array.from({ length: 500 }, (_, i) => ask(`192.0.2.${i % 90}`, `d${i}.silent.test`));
  await waitFor(() => dns.queries.length >= 50, { what: 'questions to be under way' });
  assert.equal(said(await ask('198.51.100.7', 'gone.test')), missing('gone.test'));
  assert.equal(said(await ask('192.0.2.7', 'gone.test')), missing('gone.test'), 'known by now');
  assert.match(said(await ask('192.0.2.7', 'another.test')), /^451 4\.4\.3/);
  assert.equal(said(await ask('192.0.2.7', 'another.test', { gateway: true })), missing('another.test'));
  for (const verdict of await Promise.all(flood)) assert.equal(verdict.action, 'defer');
});

test('where the check is off, DNS is not asked', needs('named'), async () => {
  await using silent = await NameServer.start(ZONES);
  await silent.pause();
  await using site = await startPolicy(silent.server, { domains: [] });
  const began = performance.now();
  const verdict = await site.policy['sender-check']({ facts: facts(), reversePath: 'a@gone.example.test' });
  assert.equal(said(verdict), '250');
  assert.ok(performance.now() - began < 400);
});

test('the name in EHLO is checked at MAIL, for strangers only', async () => {
  await using site = await startPolicy('127.0.0.1:1', {
    node: { hostname: 'mx1.example.com' },
    checks: { exempt: ['192.0.2.96/28'], helo: { refuse: ['bare-address', 'own-name', 'syntax', 'not-fqdn'] } },
  });
  const ask = async (helo: string, more: Partial<SessionFacts> = {}, address = '192.0.2.7') => {
    const session = facts({ greeting: 'HELO', client: { address, name: null, helo }, ...more });
    return said(await site.policy['sender-check']({ facts: session, reversePath: '' }));
  };
  assert.equal(await ask('mail.example.org'), '250');
  assert.equal(await ask('192.0.2.7'), '550 5.7.1 HELO refused: 192.0.2.7 is an address without brackets');
  assert.equal(
    await ask('mx1.example.com'),
    '550 5.7.1 HELO refused: mx1.example.com is a name or an address of this server',
  );
  assert.equal(await ask('a b'), '550 5.7.1 HELO refused: a b is not a host name');
  assert.equal(await ask('PC'), '550 5.7.1 HELO refused: PC is not a fully qualified host name');
  assert.match(await ask('PC', { nameFailed: true }), /^550/, 'no name is exempt');
  assert.equal(await ask('PC', { scope: 'internal' }), '250');
  assert.equal(await ask('PC', { user: 'alice' }), '250');
  assert.equal(await ask('PC', {}, '192.0.2.100'), '250');
});
