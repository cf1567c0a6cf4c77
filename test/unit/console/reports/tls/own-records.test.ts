import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownRecords, policyDomains } from '#services/console/reports/tls/own-records.ts';
import { isNamed, type Shown, type ShownNode } from '#services/console/reports/tls/shown.ts';

const [A, B] = ['a'.repeat(64), 'b'.repeat(64)] as [string, string];
const policy = (id: string, ...mx: string[]): NonNullable<ShownNode['policy']> => ({
  ...{ id, domains: ['example.com'], port: 443 },
  text: `version: STSv1\r\nmode: testing\r\n${mx.map((name) => `mx: ${name}\r\n`).join('')}max_age: 604800\r\n`,
});
const node = (n: number, more: Partial<ShownNode> = {}): ShownNode => ({
  node: `edge-${n}`,
  hostname: `mx${n}.example.com`,
  takesTls: true,
  certificates: [{ hosts: ['*'], names: ['*.example.com'], key: n === 1 ? A : B, until: 0 }],
  ...more,
});
const shown = (...nodes: ShownNode[]): Shown => ({ nodes, silent: [] });
const NOTHING = { domains: [], rua: [] };

/** `host: a b+`, one for each TLSA record. */
const hosts = ({ records }: ReturnType<typeof ownRecords>): string[] =>
  records.flatMap((record) =>
    record.kind === 'tlsa'
      ? [
          `${record.host}: ${[...record.used.map((key) => key[0]), ...record.next.map((key) => `${key[0]}+`)].join(' ')}`,
        ]
      : [],
  );

test('each node has records by its own name; a name for several has the keys of all', () => {
  const both = [
    node(1, { policy: policy('i', 'mx.example.com', 'mx1.example.com', 'backup.example.net', '*.example.com') }),
    node(2),
  ];
  assert.deepEqual(hosts(ownRecords(shown(...both), NOTHING)), [
    'mx1.example.com: a',
    'mx.example.com: a b',
    'mx2.example.com: b',
  ]);
});

test('the certificate for the name of a host comes before the one for all', () => {
  const certificates = [
    { hosts: ['*'], names: ['www.example.com'], key: A, until: 0 },
    { hosts: ['mx1.example.com'], names: ['mx1.example.com'], key: B, until: 0 },
  ];
  assert.deepEqual(hosts(ownRecords(shown(node(1, { certificates })), NOTHING)), ['mx1.example.com: b']);
});

test('a node that takes no mail under TLS, or has no name in DNS, has no record, and that is said', () => {
  for (const more of [{ takesTls: false }, { certificates: [] }, { hostname: 'localhost' }]) {
    const made = ownRecords(shown(node(1, more)), NOTHING);
    assert.deepEqual(made.records, []);
    assert.match(made.problems.join(), /no node takes mail under TLS/);
  }
});

test('the next certificate is added for the hosts that it is for', () => {
  const next = (...names: string[]) => ({ ...NOTHING, next: { names, key: B, file: 'next.pem' } });
  const given = shown(node(1), node(3, { certificates: node(1).certificates }));
  assert.deepEqual(hosts(ownRecords(given, next('mx3.example.com'))), ['mx1.example.com: a', 'mx3.example.com: a b+']);
  assert.deepEqual(ownRecords(given, next('*.example.com')).problems, []);
  assert.match(
    ownRecords(given, next('www.example.org')).problems.join(),
    /next\.pem is for www\.example\.org, and our mail hosts are mx1\.example\.com, mx3\.example\.com/,
  );
});

test('while a node is silent nothing is removed, and that is said', () => {
  const { records, problems } = ownRecords(
    { ...shown(node(1)), silent: [{ node: 'edge-2', reason: 'gone' }] },
    NOTHING,
  );
  assert.deepEqual(
    records.map((record) => record.kind === 'tlsa' && record.complete),
    [false],
  );
  assert.match(
    problems.join(),
    /node edge-2 does not say which certificates it uses \(gone\), so no record of ours is removed/,
  );
});

test('the record of a policy is that of all nodes; none where they differ', () => {
  const domains = ['example.com', 'example.net'];
  const of = (...nodes: ShownNode[]) => ownRecords(shown(...nodes), { domains, rua: ['mailto:r@example.com'] });
  const made = of(
    node(1, { policy: policy('i1', 'mx1.example.com') }),
    node(2, { policy: policy('i1', 'mx1.example.com') }),
    node(3),
  );
  assert.deepEqual(
    made.records.filter(({ kind }) => kind !== 'tlsa'),
    [
      { kind: 'mta-sts', domain: 'example.com', id: 'i1', maxAge: 604_800_000 },
      { kind: 'tls-rpt', domain: 'example.com', rua: ['mailto:r@example.com'] },
      { kind: 'tls-rpt', domain: 'example.net', rua: ['mailto:r@example.com'] },
    ],
  );
  const differing = of(node(1, { policy: policy('i1') }), node(2, { policy: policy('i2') }));
  assert.ok(differing.records.every(({ kind }) => kind !== 'mta-sts'));
  assert.match(differing.problems.join(), /different policies for example\.com, edge-1 \(id i1\), edge-2 \(id i2\)/);
  assert.deepEqual(policyDomains(shown(node(1, { policy: policy('i1') }), node(2))), ['example.com']);
});

test('a pattern stands for one label', () => {
  assert.ok(isNamed(['*.example.com'], 'mx.example.com'));
  assert.ok(!isNamed(['*.example.com'], 'a.mx.example.com'));
  assert.ok(!isNamed(['*.example.com'], 'example.com'));
});
