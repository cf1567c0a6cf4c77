import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mailauthResolver } from '#shared/dns/mailauth-resolver.ts';
import { type DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';
import { type TestZone, ValidatingResolver } from '#test/kit/dns/validating-resolver.ts';
import { needs } from '#test/kit/runner/peers.ts';

/**
 * Our resolver asks BIND and unbound, which recurse and validate with DNSSEC: a signed zone, one without signatures, and a
 * signed one in which a record was changed later.
 */

const RECORDS = `
host A 192.0.2.1
host AAAA 2001:db8::1
@ MX 10 host
alias CNAME host
away CNAME host.plain.test.
circle CNAME circle2
circle2 CNAME circle
strings TXT ( ${Array.from({ length: 100 }, (_, n) => `"part ${n},"`).join(' ')} )
long TXT ( ${`"${'x'.repeat(200)}" `.repeat(40)} )
huge TXT ( ${`"${'y'.repeat(250)}" `.repeat(240)} )
`;
const ZONES: TestZone[] = [
  { name: 'signed.test', records: RECORDS, signed: true },
  { name: 'plain.test', records: RECORDS, signed: false },
  { name: 'changed.test', records: RECORDS, signed: true, changed: (text) => text.replace('192.0.2.1', '192.0.2.66') },
];

/** In short: what was found, whether it is proven, and why nothing is known. */
function brief(answer: DnsAnswer): string {
  if (answer.kind === 'trouble') return answer.cause;
  const what =
    answer.kind === 'found' ? JSON.stringify(answer.records) : answer.exists ? 'no such record' : 'no such name';
  return `${what}${answer.authenticated ? ', proven' : ''}`;
}

const CASES: [name: string, type: 'A' | 'AAAA' | 'MX', expected: string][] = [
  ['host.signed.test', 'A', '["192.0.2.1"], proven'],
  ['host.signed.test', 'AAAA', '["2001:db8::1"], proven'],
  ['signed.test', 'MX', '[{"exchange":"host.signed.test","priority":10}], proven'],
  ['alias.signed.test', 'A', '["192.0.2.1"], proven'],
  ['away.signed.test', 'A', '["192.0.2.1"]'],
  ['gone.signed.test', 'A', 'no such name, proven'],
  ['host.signed.test', 'MX', 'no such record, proven'],
  ['host.plain.test', 'A', '["192.0.2.1"]'],
  ['gone.plain.test', 'A', 'no such name'],
  ['host.changed.test', 'A', 'failed'],
  ['circle.plain.test', 'A', 'failed'],
];

for (const program of ['named', 'unbound'] as const) {
  test(`what ${program} proves by DNSSEC, and what it refutes, is told apart`, needs('named', program), async () => {
    await using validating = await ValidatingResolver.start(program, ZONES);
    const resolver = new DnsResolver({ servers: [validating.server], timeout: 5000 });
    for (const [name, type, expected] of CASES) {
      assert.equal(brief(await resolver.lookup(name, type)), expected, `${type} ${name}`);
    }
  });
}

test('texts come whole: of 100 strings, of 8 KB, of 60 KB', needs('named'), async () => {
  await using validating = await ValidatingResolver.start('named', ZONES);
  const { server } = validating;
  const resolve = mailauthResolver(new DnsResolver({ servers: [server], timeout: 5000 }), { timeoutMs: 5000 });
  const strings = Array.from({ length: 100 }, (_, n) => `part ${n},`).join('');
  assert.deepEqual(await resolve('strings.plain.test', 'TXT'), [[strings]]);
  assert.deepEqual(await resolve('long.plain.test', 'TXT'), [['x'.repeat(8000)]]);
  assert.deepEqual(await resolve('huge.plain.test', 'TXT'), [['y'.repeat(60_000)]]);
});
