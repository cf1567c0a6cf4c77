import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { needs } from '#test/kit/runner/peers.ts';
import { type DaneSite, send, startDaneSite } from './dane-site.ts';

/** DANE with a real resolver that validates: what is sent where, and what never is (dane-site.ts has the hosts). */

// Below 1024, a port is root's.
const options = process.getuid?.() === 0 ? needs('named', 'unbound') : { skip: 'needs port 25' };

let site: DaneSite;
before(async () => {
  if (options.skip === false) site = await startDaneSite();
});
after(() => site?.dispose());

/** What became of a message to a domain of s.test, at which host, and in what: `delivered ee dane-ee`. */
async function outcome(domain: string, given: Parameters<typeof send>[2] = {}): Promise<string> {
  const { result } = await send(site, domain, given);
  const { reply, host = '', tls } = result.outcome;
  const name = host.replace(/(?:\.s)?(?:\.test)?\[.*/, '');
  if (result.state !== 'delivered') return `${result.state} ${reply.code} ${reply.enhanced} ${name}`;
  return `delivered ${name} ${tls === undefined ? 'clear' : (tls.verified ?? 'tls')}`;
}

const CASES: [what: string, domain: string, expected: string][] = [
  ['the certificate that the record names is taken', 'good', 'delivered ee dane-ee'],
  ['it is taken although it has expired and is for another name', 'expired', 'delivered old dane-ee'],
  ['another certificate gets no mail', 'mismatch', 'deferred 454 4.7.5 wrong'],
  ['a host with another certificate does not keep the next host from the mail', 'second', 'delivered ee dane-ee'],
  ['a host whose records were forged gets no mail', 'forged', 'deferred 451 4.4.3 bogus'],
  ['a host whose records were forged does not keep the next host from the mail', 'forged-2', 'delivered ee dane-ee'],
  ['a host that hides STARTTLS gets no mail in clear', 'no-tls', 'deferred 454 4.7.4 clear'],
  ['a host that hides STARTTLS does not keep the next host from the mail', 'no-tls-2', 'delivered ee dane-ee'],
  ['a broken handshake is not followed by clear text', 'no-handshake', 'deferred 454 4.7.5 rubbish'],
  ['a certificate of the authority that the record names is taken', 'anchor', 'delivered ta dane-ta'],
  ['it is taken for the name of the domain as well', 'next-hop', 'delivered ta-other dane-ta'],
  ['the same authority does not vouch for other names', 'misnamed', 'deferred 454 4.7.5 ta-other'],
  ['records that cannot be used ask for TLS all the same', 'unusable', 'delivered pkix tls'],
  ['records that cannot be used keep mail from going in clear', 'unusable-clear', 'deferred 454 4.7.4 pkix-clear'],
  ['a host without records gets mail in TLS', 'without', 'delivered none tls'],
  ['a host without records and without TLS gets mail in clear', 'without-clear', 'delivered none-clear clear'],
  ['the records of what an alias leads to count', 'by-alias', 'delivered alias dane-ee'],
  [
    'the records of the alias itself count where the other name has none',
    'by-own-alias',
    'delivered own-alias dane-ee',
  ],
  ['the records of a proven alias count although it leads out of what is proven', 'by-away', 'delivered away dane-ee'],
  ['the records of a domain without MX count', 'direct', 'delivered direct dane-ee'],
  ['records of a host whose addresses are not proven count for nothing', 'to-child', 'delivered host.child tls'],
];

for (const [what, domain, expected] of CASES) {
  test(what, options, async () => assert.equal(await outcome(`${domain}.s.test`), expected));
}

test('MX records that are not proven lead to no DANE', options, async () => {
  assert.equal(await outcome('child.s.test'), 'delivered host.child tls', 'an insecure delegation');
  assert.equal(await outcome('plain.test'), 'delivered wrong tls', 'to a host that has proven records');
});

test(
  'mail that no policy must keep back goes out all the same, and what becomes of its TLS is not told',
  options,
  async () => {
    const demand = { raises: false, strict: false, requireTls: 'never', ignorePolicies: true } as const;
    for (const [domain, expected] of [
      ['mismatch', 'delivered wrong tls'],
      ['no-tls', 'delivered clear clear'],
    ] as const) {
      assert.equal(await outcome(`${domain}.s.test`, { demand }), expected);
      assert.deepEqual((await send(site, `${domain}.s.test`, { demand })).told, []);
    }
    const told = async (domain: string) =>
      (await send(site, `${domain}.s.test`)).told.map(({ policy, failure }) => [policy.type, failure?.type]);
    assert.deepEqual(await told('mismatch'), [['tlsa', 'validation-failure']]);
    assert.deepEqual(await told('good'), [['tlsa', undefined]]);
  },
);

test('nothing of a message goes to a host that DANE refuses', options, async () => {
  for (const last of [43, 44, 46, 47]) site.sink(last).sessions.length = 0;
  for (const domain of ['mismatch', 'no-tls', 'misnamed', 'no-handshake', 'unusable-clear']) {
    await send(site, `${domain}.s.test`);
  }
  const lines = [43, 44, 46, 47].flatMap((last) => site.sink(last).sessions.flatMap((session) => session.lines));
  assert.ok(lines.length > 0, 'they were asked');
  const others = lines.filter((line) => !/^(?:EHLO edge\.test|STARTTLS|QUIT)$/.test(line));
  assert.deepEqual(others, []);
});

test('the name that the records were found at is what the host is asked for', options, async () => {
  const asked: (string | undefined)[] = [];
  for (const domain of ['by-alias', 'by-own-alias', 'by-away']) {
    await send(site, `${domain}.s.test`);
    asked.push(site.sink(41).sessions.at(-1)?.tls?.serverName);
  }
  assert.deepEqual(asked, ['ee.s.test', 'own-alias.s.test', 'away.s.test']);
});

test('a reply names what was wanted, what came, and why it did not do', options, async () => {
  const texts: string[] = [];
  for (const domain of ['mismatch', 'no-tls', 'misnamed', 'forged']) {
    texts.push((await send(site, `${domain}.s.test`)).result.outcome.reply.text);
  }
  const [mismatch, clear, misnamed, forged = ''] = texts;
  assert.deepEqual(
    [mismatch, clear, misnamed],
    [
      'DANE asks for a verified certificate, but at wrong.s.test[127.0.0.43]:25 the certificate matches none of its TLSA records',
      'DANE asks for a verified certificate, but clear.s.test[127.0.0.44]:25 does not offer STARTTLS',
      'DANE asks for a verified certificate, but at ta-other.s.test[127.0.0.46]:25 the certificate is not for ta-other.s.test or misnamed.s.test',
    ],
  );
  assert.match(forged, /^bogus\.s\.test may have DANE, and is not used while nobody can say: .*SERVFAIL/);
});

test(
  'a route that requires TLS follows DANE too; one that verifies by authority, or is without TLS, does not',
  options,
  async () => {
    assert.equal(await outcome('mismatch.s.test', { tls: 'required' }), 'deferred 454 4.7.5 wrong');
    assert.equal(await outcome('good.s.test', { tls: 'required' }), 'delivered ee dane-ee');
    assert.equal(await outcome('mismatch.s.test', { tls: 'off' }), 'delivered wrong clear');
    assert.equal(await outcome('good.s.test', { tls: 'verified' }), 'deferred 454 4.7.5 ee');
  },
);

test('without dns.dnssec a resolver that validates changes nothing', options, async () => {
  assert.equal(await outcome('mismatch.s.test', { dnssec: false }), 'delivered wrong tls');
});

test('an exception lets mail pass until its end, and is not applied after it', options, async () => {
  const except = (until: string) => ({ except: [{ domain: 'mismatch.s.test', until }] });
  const today = new Date().toISOString().slice(0, 10);
  assert.equal(await outcome('mismatch.s.test', except(today)), 'delivered wrong tls');
  assert.equal(await outcome('mismatch.s.test', except('2020-12-31')), 'deferred 454 4.7.5 wrong');
  assert.equal(await outcome('no-tls.s.test', except(today)), 'deferred 454 4.7.4 clear', 'for its domain alone');
  const { log } = await send(site, 'good.s.test', except('2020-12-31'));
  const warning = log.find(({ msg }) => String(msg).includes('exception from DANE has ended'));
  assert.deepEqual([warning?.['domain'], warning?.['until']], ['mismatch.s.test', '2020-12-31']);
});
