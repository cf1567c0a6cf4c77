import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Member } from '#cluster/members/member-contract.ts';
import type { Clients } from '#services/console/reports/clients.ts';
import { ownRecords } from '#services/console/reports/tls/own-records.ts';
import { gatherShown } from '#services/console/reports/tls/shown.ts';

/** Which nodes count where it is told what other servers see. */

const member = (node: number, more: Partial<Member> = {}): Member => ({
  ...{ node: `edge-${node}`, process: `p${node}`, epoch: 1, state: 'up', services: ['listener', 'router'] },
  ...{ version: '1', contracts: {}, started: 0, config: {}, heard: 0, clock: 0, stopped: false },
  ...more,
});
const STOPPED = { state: 'gone', stopped: true } as const;

/** Every listener that is asked answers. */
const clients = {
  client: () => ({
    'status-show': async (_: object, { node }: { node: string }) => {
      const certificates = [{ hosts: ['*'], names: ['*.example.com'], key: 'a'.repeat(64), until: 0 }];
      return { hostname: `${node}.example.com`, certificates, listeners: [{ kind: 'relay', tls: 'starttls' }] };
    },
  }),
} as unknown as Clients;

test('a node without the certificates of the cluster that are there for it may present others soon', async () => {
  const cases: [object, string | undefined][] = [
    [{}, undefined],
    [{ sharedCertificates: [] }, undefined],
    [{ sharedCertificates: [], sharedBehind: 'no answer' }, 'no answer'],
    [{ sharedCertificates: [{ name: 'mx', standard: false, problem: 'no NEK' }] }, 'no NEK'],
    [{ sharedCertificates: [{ name: 'mx', standard: true, fingerprint: 'AB' }], sharedBehind: 'no answer' }, undefined],
  ];
  for (const [shared, why] of cases) {
    const status = { hostname: 'mx.example.com', certificates: [], listeners: [{ kind: 'relay', tls: 'starttls' }] };
    const client = () => ({ 'status-show': async () => ({ ...status, ...shared }) });
    const { nodes, silent } = await gatherShown({ client } as unknown as Clients, [member(1)]);
    assert.equal(nodes.length, 1);
    const reasons = silent.map(({ reason }) => reason);
    assert.deepEqual(reasons, why === undefined ? [] : [`it may present others soon: ${why}`], JSON.stringify(shared));
  }
});

const CASES: [what: string, members: Member[], nodes: string[], silent: [string, string][]][] = [
  ['all that listen', [member(1), member(2), member(3, { services: ['router'] })], ['edge-1', 'edge-2'], []],
  ['stopped in good order', [member(1), member(2, STOPPED)], ['edge-1'], [['edge-2', 'it is stopped']]],
  ['silent', [member(1), member(2, { state: 'gone' })], ['edge-1'], [['edge-2', 'it is gone']]],
  ['stopped without a listener', [member(1), member(2, { ...STOPPED, services: ['router'] })], ['edge-1'], []],
  ['started again', [member(1), member(1, { ...STOPPED, process: 'p0', epoch: 0 })], ['edge-1'], []],
  [
    'stopped twice',
    [member(1), member(2, { ...STOPPED, process: 'p0', epoch: 2 }), member(2, { state: 'gone' })],
    ['edge-1'],
    [['edge-2', 'it is stopped']],
  ],
];

for (const [what, members, nodes, silent] of CASES) {
  test(`nodes that count: ${what}`, async () => {
    const shown = await gatherShown(clients, members);
    assert.deepEqual(shown.nodes.map(({ node }) => node).toSorted(), nodes);
    assert.deepEqual(
      shown.silent.map(({ node, reason }) => [node, reason]),
      silent,
    );
    const { records } = ownRecords(shown, { domains: [], rua: [] });
    assert.ok(records.length > 0);
    assert.ok(records.every((record) => record.kind === 'tlsa' && record.complete === (silent.length === 0)));
  });
}
