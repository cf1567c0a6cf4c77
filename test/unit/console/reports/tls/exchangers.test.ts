import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exchangerProblems } from '#services/console/reports/tls/exchangers.ts';
import type { Shown } from '#services/console/reports/tls/shown.ts';
import type { DnsAnswer, DnsResolver } from '#shared/dns/resolver.ts';
import { type OwnStsPolicy, stsPolicyText } from '#shared/mta-sts/own-policy.ts';

/** Whether our policies name the MX hosts that DNS has. */

const serving = (...policies: [mode: OwnStsPolicy['mode'], ...mx: string[]][]): Shown => ({
  silent: [],
  nodes: policies.map(([mode, ...mx], n) => ({
    ...{ node: `edge-${n}`, hostname: `mx${n}.example.com`, takesTls: true, certificates: [] },
    policy: { id: 'i', domains: ['example.com'], port: 443, text: stsPolicyText({ mode, mx, maxAgeMs: 86_400_000 }) },
  })),
});

const base = { expires: 0, authenticated: false };
const found = (...hosts: string[]): DnsAnswer<'MX'> => ({
  ...{ kind: 'found', ...base },
  records: hosts.map((exchange) => ({ exchange, priority: 10 })),
});
const resolver = (answer: DnsAnswer<'MX'>) => ({ lookup: async () => answer }) as unknown as DnsResolver;

const CASES: [what: string, shown: Shown, answer: DnsAnswer<'MX'>, problem: RegExp | undefined][] = [
  ['named', serving(['enforce', 'mx1.example.com']), found('MX1.example.com'), undefined],
  ['named by a pattern', serving(['enforce', '*.example.com']), found('mx1.example.com'), undefined],
  [
    'two of three not named',
    serving(['testing', '*.example.com']),
    found('mx1.example.com', 'a.mx.example.com', 'backup.example.net'),
    /policy of example\.com does not name its MX a\.mx\.example\.com, backup\.example\.net: .*add it to mta-sts\.mx/,
  ],
  [
    'named by one node, and not by another',
    serving(['enforce', 'mx1.example.com'], ['enforce', 'mx2.example.com']),
    found('mx1.example.com'),
    /does not name its MX mx1\.example\.com:/,
  ],
  ['a policy that asks for nothing', serving(['none']), found('mx1.example.com'), undefined],
  ['no policy', { nodes: [], silent: [] }, found('mx1.example.com'), undefined],
  ['no MX', serving(['enforce', 'mx1.example.com']), { kind: 'none', exists: true, ...base }, undefined],
  ['a domain without mail', serving(['enforce', 'mx1.example.com']), found(''), undefined],
  [
    'no answer',
    serving(['enforce', 'mx1.example.com']),
    { kind: 'trouble', cause: 'silent', error: 'no resolver answers', expires: 0 },
    /names its MX hosts cannot be told \(no resolver answers\): see that dns\.servers answer/,
  ],
];

for (const [what, shown, answer, problem] of CASES) {
  test(`MX hosts and the policy: ${what}`, async () => {
    const found = await exchangerProblems(shown, ['example.com'], resolver(answer));
    const problems = found.map(({ text, help }) => `${text}: ${help}`);
    assert.equal(problems.length, problem === undefined ? 0 : 1, problems.join());
    if (problem !== undefined) assert.match(problems[0] ?? '', problem);
  });
}
