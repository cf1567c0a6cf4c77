import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownRecords } from '#services/console/reports/tls/own-records.ts';
import type { Shown, ShownNode } from '#services/console/reports/tls/shown.ts';
import { withdrawnNames } from '#services/console/reports/tls/withdrawn.ts';

/** Which names that something was published at are not needed any more. */

const node = (n: number, id?: string): ShownNode => ({
  ...{ node: `edge-${n}`, hostname: `mx${n}.example.com`, takesTls: true },
  certificates: [{ hosts: ['*'], names: ['*.example.com'], key: 'a'.repeat(64), until: 0 }],
  ...(id !== undefined && { policy: { id, text: 'version: STSv1\r\n', domains: ['example.com'], port: 443 } }),
});
const PUBLISHED = [
  '_25._tcp.mx1.example.com',
  '_25._tcp.mx2.example.com',
  '_mta-sts.example.com',
  '_mta-sts.example.net',
  '_smtp._tls.example.com',
  '_smtp._tls.example.net',
];

type Given = { nodes: ShownNode[]; silent?: Shown['silent']; domains?: string[]; rua?: string[]; all?: boolean };

const CASES: [what: string, given: Given, withdrawn: string[]][] = [
  ['a node and a domain less', { nodes: [node(1, 'i')] }, [1, 3, 5].map((n) => PUBLISHED[n] ?? '')],
  ['no policy any more', { nodes: [node(1), node(2)] }, [2, 3, 5].map((n) => PUBLISHED[n] ?? '')],
  [
    'nodes that differ about the policy',
    { nodes: [node(1, 'i'), node(2, 'j')] },
    [3, 5].map((n) => PUBLISHED[n] ?? ''),
  ],
  ['no reports any more', { nodes: [node(1, 'i'), node(2)], rua: [] }, [3, 4, 5].map((n) => PUBLISHED[n] ?? '')],
  ['a silent node', { nodes: [node(1)], silent: [{ node: 'edge-2', reason: 'gone' }] }, ['_smtp._tls.example.net']],
  ['one domain', { nodes: [node(1)], all: false, rua: [] }, ['_mta-sts.example.com', '_smtp._tls.example.com']],
];

for (const [
  what,
  { nodes, silent = [], domains = ['example.com'], rua = ['mailto:r@example.com'], all = true },
  names,
] of CASES) {
  test(`withdrawn: ${what}`, () => {
    const shown = { nodes, silent };
    const own = ownRecords(shown, { domains, rua });
    assert.deepEqual(withdrawnNames(shown, own, { domains, all, published: PUBLISHED }), names);
  });
}
