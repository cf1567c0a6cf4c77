import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Dane } from '#services/router/delivery/dane/dane.ts';
import { type Target, type TlsRules, wantedOf, wishOf } from '#services/router/delivery/tls-policy/wanted.ts';
import { reply } from '#shared/mail/reply.ts';
import type { TlsDemand } from '#shared/mail/tls.ts';

const DAY = 86_400_000;
const records: Dane = { kind: 'records', base: 'mx.d.test', names: ['mx.d.test'], records: [] };
const unusable: Dane = { kind: 'unusable', base: 'mx.d.test' };
const unknown: Dane = { kind: 'unknown', reply: reply(451, '4.4.3', 'SERVFAIL') };
const sts = (mode: 'enforce' | 'testing') => ({
  policy: { id: '1', mode, mx: ['mx.d.test'], lines: [] },
  matches: true,
});

type Given = Partial<TlsRules> & Pick<Target, 'dane' | 'sts'> & { remembered?: number; lost?: 'wait' | 'go-on' };

function wanted({ dane, sts: policy, remembered, lost = 'go-on', ...rules }: Given): string {
  const target: Target = { name: 'mx.d.test', address: '192.0.2.1', port: 25, domain: 'd.test' };
  const { tls, by, proof } = wantedOf(
    { ...target, ...(dane && { dane }), ...(policy && { sts: policy }) },
    { tls: 'opportunistic', byMessage: false, implicitTls: false, secret: undefined, ...rules },
    {
      remembered: remembered === undefined ? undefined : { reached: 'encrypted', at: 100 * DAY - remembered },
      ...{ lost, now: 100 * DAY },
    },
  );
  return [tls, by, proof].filter((part) => part !== undefined).join(' ');
}

const ROUTE = ['off', 'required', 'verified'] as const satisfies TlsDemand[];

const CASES: [what: string, given: Given, expected: string][] = [
  ['nobody says anything', {}, 'opportunistic default'],
  ['the route says off', { tls: 'off', dane: records, sts: sts('enforce'), remembered: 0 }, 'off route'],
  ['the route says required', { tls: 'required' }, 'required route'],
  ['… and the host has TLSA records', { tls: 'required', dane: records }, 'verified dane dane'],
  ['… and the domain has a policy', { tls: 'required', sts: sts('enforce') }, 'verified mta-sts web'],
  ['… and a policy that is tested', { tls: 'required', sts: sts('testing') }, 'required route'],
  ['the route says verified', { tls: 'verified', dane: records }, 'verified route web'],
  ['the route has a password', { secret: 'password' }, 'verified route web'],
  ['TLS comes first', { implicitTls: true, tls: 'off' }, 'required route'],
  ['the message wants TLS', { tls: 'required', byMessage: true }, 'required message'],
  ['the message wants a certificate', { tls: 'verified', byMessage: true }, 'verified message web'],
  ['… and the host has TLSA records', { tls: 'verified', byMessage: true, dane: records }, 'verified message dane'],
  ['… that cannot be used', { tls: 'verified', byMessage: true, dane: unusable }, 'verified message web'],
  ['the host has TLSA records', { dane: records, sts: sts('enforce'), remembered: 0 }, 'verified dane dane'],
  ['the host has TLSA records that cannot be used', { dane: unusable, sts: sts('enforce') }, 'required dane'],
  ['nobody knows its TLSA records', { dane: unknown }, 'required dane'],
  ['the domain has a policy to enforce', { sts: sts('enforce'), remembered: 0 }, 'verified mta-sts web'],
  ['the domain tests its policy', { sts: sts('testing') }, 'opportunistic default'],
  ['… and had TLS', { sts: sts('testing'), remembered: DAY }, 'opportunistic memory'],
  ['the destination had TLS', { remembered: 29 * DAY }, 'opportunistic memory'],
  ['… and its mail shall wait', { remembered: 29 * DAY, lost: 'wait' }, 'required memory'],
  ['… long ago', { remembered: 31 * DAY, lost: 'wait' }, 'opportunistic default'],
];
for (const [i, [what, given, expected]] of CASES.entries()) {
  test(`what is wanted (${i}): ${what}`, () => assert.equal(wanted(given), expected));
}

test('a route that says how, or that there is no TLS, is overridden by nobody', () => {
  for (const tls of ROUTE.filter((demand) => demand !== 'required')) {
    for (const dane of [records, unusable]) {
      for (const mode of ['enforce', 'testing'] as const)
        assert.match(wanted({ tls, dane, sts: sts(mode), remembered: 0, lost: 'wait' }), new RegExp(`^${tls} route`));
    }
  }
});

test('a reply says who wanted what', () => {
  assert.match(wishOf({ tls: 'required', by: 'memory' }, undefined), /had TLS before.*delivery\.tls-lost: go-on/);
  assert.match(wishOf({ tls: 'verified', by: 'mta-sts', proof: 'web' }, undefined), /MTA-STS.*verified certificate/);
  assert.equal(wishOf({ tls: 'required', by: 'message' }, undefined), 'TLS is required for this message');
  assert.match(wishOf({ tls: 'verified', by: 'route', proof: 'web' }, 'token'), /^the token of this route/);
});
