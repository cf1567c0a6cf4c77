import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import type { Finding } from '#services/console/reports/doctor/finding.ts';
import { examineTls } from '#services/console/reports/tls/checks.ts';
import { PUBLISHED_CHECKS } from '#services/console/reports/tls/published/checks.ts';
import { shownByConfig } from '#services/console/reports/tls/published/configured.ts';
import { gatherPublished } from '#services/console/reports/tls/published/facts.ts';
import type { Shown, ShownNode } from '#services/console/reports/tls/shown.ts';
import type { DnsResolver } from '#shared/dns/resolver.ts';
import { tlsaRdata } from '#shared/dns/tlsa.ts';
import { stsPolicyId, stsPolicyText } from '#shared/mta-sts/own-policy.ts';
import { PolicySite } from '#test/kit/tls/policy-site.ts';

/** What `sealpost tls check` says of DNS and of the policy's web server, a real one, beside what nodes show. */

const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string];
const policyText = (mode: 'enforce' | 'testing' | 'none', ...mx: string[]) =>
  stsPolicyText({ mode, mx, maxAgeMs: 604_800_000 });
const OWN = policyText('enforce', 'mx1.example.com');
const RUA = ['mailto:r@example.com'];

/** `null`: no name server answers; `proven`: by DNSSEC. */
type Zone = Record<string, string[] | null>;
const GOOD: Zone = {
  'TLSA _25._tcp.mx1.example.com': [`3 1 1 ${A}`],
  'TXT _mta-sts.example.com': [`v=STSv1; id=${stsPolicyId(OWN)};`],
  'TXT _smtp._tls.example.com': ['v=TLSRPTv1;rua=mailto:r@example.com'],
  'A mta-sts.example.com': ['127.0.0.1'],
  'MX example.com': ['mx1.example.com'],
};

function resolver(zone: Zone, authenticated: boolean): Pick<DnsResolver, 'lookup'> {
  const lookup = async (name: string, type: string) => {
    const found = zone[`${type} ${name}`];
    if (found === null) return { kind: 'trouble', cause: 'failed', error: 'answers SERVFAIL', expires: 0 };
    if (found === undefined || found.length === 0) return { kind: 'none', exists: false, authenticated, expires: 0 };
    const read = (text: string) =>
      type === 'TLSA' ? tlsaRdata(text) : type === 'MX' ? { exchange: text, priority: 10 } : text;
    return { kind: 'found', records: found.map(read), authenticated, expires: 0 };
  };
  return { lookup: lookup as DnsResolver['lookup'] };
}

const node = (n: number, { text = OWN, ...more }: Partial<ShownNode> & { text?: string } = {}): ShownNode => ({
  ...{ node: `edge-${n}`, hostname: `mx${n}.example.com`, takesTls: true },
  certificates: [{ hosts: ['*'], names: [`mx${n}.example.com`], key: A, until: 0 }],
  policy: { id: stsPolicyId(text), text, domains: ['example.com'], port: 443 },
  ...more,
});

let site: PolicySite;
before(async () => {
  site = await PolicySite.start();
});
after(() => site[Symbol.asyncDispose]());

type Given = { zone?: Zone; nodes?: ShownNode[]; silent?: Shown['silent']; proven?: boolean; answer?: string };

async function findings({ zone = {}, nodes = [node(1)], silent = [], proven = true, answer = OWN }: Given) {
  await site.publish('example.com', { answer });
  const config = ConfigSchema.parse({ domains: [{ name: 'example.com', local: true }], 'tls-rpt': { rua: RUA } });
  const deps = { dns: resolver({ ...GOOD, ...zone }, proven), webServers: site.webServers };
  const published = await gatherPublished({ nodes, silent }, config, deps);
  return examineTls({ now: 0, hostname: 'mx1.example.com', listeners: [], shared: true, pairs: [], published });
}

const sentence = ({ severity, about, text, help }: Finding) => `${severity}: ${about}: ${text}. To do: ${help}`;

const TLSA = 'TLSA _25._tcp.mx1.example.com';
const STS = 'TXT _mta-sts.example.com';
const RPT = 'TXT _smtp._tls.example.com';

const CASES: [what: string, given: Given, check: string | undefined, said?: RegExp][] = [
  ['everything as it should be', {}, undefined],
  [
    'another key',
    { zone: { [TLSA]: [`3 1 1 ${B}`] } },
    'dns-tlsa',
    /^error: mx1\.example\.com: .* of the key in use \(3 1 1 a+\), so servers that follow DANE do not deliver to it\. To do: run "sealpost tls publish"/,
  ],
  ['another key, not proven', { zone: { [TLSA]: [`3 1 1 ${B}`] }, proven: false }, 'dns-tlsa', /^warning/],
  ['another form', { zone: { [TLSA]: [`3 0 1 ${B}`] } }, 'dns-tlsa', /^warning: .*cannot be compared here/],
  [
    'a record besides',
    { zone: { [TLSA]: [`3 1 1 ${A}`, `3 1 1 ${C}`] } },
    'dns-tlsa',
    /^note: .*has 1 TLSA record besides, of no key that is in use: 3 1 1 c/,
  ],
  ['no record in a signed zone', { zone: { [TLSA]: [] } }, 'dns-tlsa', /^note: .*is signed/],
  ['no record in another zone', { zone: { [TLSA]: [] }, proven: false }, undefined],
  ['TLSA that nobody tells', { zone: { [TLSA]: null } }, 'dns-tlsa', /^warning: .*cannot be told \(answers SERVFAIL\)/],
  [
    'a silent node',
    { silent: [{ node: 'edge-2', reason: 'it is gone' }] },
    'shown-incomplete',
    /^note: edge-2: does not say .*\(it is gone\)/,
  ],
  [
    'no record of the policy',
    { zone: { [STS]: [] } },
    'sts-record',
    /^warning: _mta-sts\.example\.com: is not in DNS, so nobody looks/,
  ],
  [
    'the record of another policy',
    { zone: { [STS]: ['v=STSv1; id=old;'] } },
    'sts-record',
    /has id old, and the policy that is served has [0-9a-f]{32}/,
  ],
  [
    'two records',
    { zone: { [STS]: ['v=STSv1; id=a;', 'v=STSv1; id=b;'] } },
    'sts-record',
    /cannot be used.*there are 2 records/,
  ],
  ['a record that nobody tells', { zone: { [STS]: null } }, 'sts-record', /cannot be looked up \(answers SERVFAIL\)/],
  [
    'a record without a policy',
    { nodes: [node(1, { policy: undefined })], answer: 'x' },
    'sts-record',
    /no node serves one\. To do: add the section/,
  ],
  ['a policy that another host serves', { nodes: [node(1, { policy: undefined })] }, undefined],
  [
    'nodes that differ',
    {
      nodes: [node(1), node(1, { node: 'edge-2', text: policyText('enforce', 'mx1.example.com', 'mx2.example.com') })],
    },
    'sts-nodes',
    /^error: example\.com: .*edge-1 \(id .*\) and edge-2 \(id /,
  ],
  [
    'no address',
    { zone: { 'A mta-sts.example.com': [] } },
    'sts-file',
    /^warning: mta-sts\.example\.com: has no address/,
  ],
  ['an address that nobody tells', { zone: { 'A mta-sts.example.com': null } }, 'sts-file', /cannot be looked up/],
  [
    'nobody at its address',
    { zone: { 'A mta-sts.example.com': ['127.0.0.87'] } },
    'sts-file',
    /cannot be fetched there: .*ECONNREFUSED.* To do: see that port 443/,
  ],
  [
    'a file that is no policy',
    { answer: 'mode: enforce\n' },
    'sts-file',
    /cannot be fetched there: version is not STSv1\. To do: see which machine/,
  ],
  [
    'a former mode',
    { answer: policyText('testing', 'mx1.example.com') },
    'sts-file',
    /another policy than the nodes: mode is testing and not enforce/,
  ],
  [
    'other hosts',
    { answer: policyText('enforce', 'old.example.com') },
    'sts-file',
    /mx is old\.example\.com and not mx1\.example\.com/,
  ],
  [
    'an MX that is not named',
    { zone: { 'MX example.com': ['mx1.example.com', 'mx9.example.com'] } },
    'sts-mx',
    /^error: example\.com: .* does not name its MX mx9\.example\.com\. To do: /,
  ],
  [
    'no record for reports',
    { zone: { [RPT]: [] } },
    'dns-tls-rpt',
    /^warning: _smtp\._tls\.example\.com: is not in DNS/,
  ],
  [
    'two for reports',
    { zone: { [RPT]: ['v=TLSRPTv1; rua=mailto:a@b.c', 'v=TLSRPTv1; rua=mailto:d@b.c'] } },
    'dns-tls-rpt',
    /there 2 times/,
  ],
  [
    'reports to another address',
    { zone: { [RPT]: ['v=TLSRPTv1; rua=mailto:a@b.c'] } },
    'dns-tls-rpt',
    /says "v=TLSRPTv1; rua=mailto:a@b\.c", and tls-rpt\.rua is mailto:r@example\.com/,
  ],
  ['reports that nobody tells', { zone: { [RPT]: null } }, 'dns-tls-rpt', /cannot be looked up/],
];

for (const [what, given, check, said = /(?:)/] of CASES) {
  test(`published: ${what}`, async () => {
    const found = await findings(given);
    assert.deepEqual(
      found.map((finding) => finding.check),
      check === undefined ? [] : [check],
      found.map(sentence).join('\n'),
    );
    if (found[0] !== undefined) assert.match(sentence(found[0]), said);
  });
}

test('every check has a case', () => {
  assert.deepEqual(
    [...new Set(CASES.flatMap(([, , check]) => check ?? []))].sort(),
    Object.keys(PUBLISHED_CHECKS).sort(),
  );
});

test('without an answer of a node, by its configuration; certificates of the cluster only a node has', () => {
  const config = ConfigSchema.parse({
    node: { name: 'edge-1', hostname: 'mx1.example.com' },
    domains: [{ name: 'example.com', local: true }],
    'mta-sts': { mode: 'testing' },
  });
  const shown = shownByConfig(config, [], false);
  assert.deepEqual(shown.silent, []);
  assert.deepEqual(
    shown.nodes.map(({ takesTls, policy }) => [takesTls, policy?.text]),
    [[true, policyText('testing', 'mx1.example.com')]],
  );
  assert.match(shownByConfig(config, [], true).silent[0]?.reason ?? '', /certificates of the cluster/);
});
