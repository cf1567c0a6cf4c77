import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConfigSchema } from '#cluster/config/schema/schema.ts';
import { examine } from '#services/console/reports/doctor/checks.ts';
import type { CheckedKey, Facts, Finding } from '#services/console/reports/doctor/finding.ts';
import type { Holder, NekStatus } from '#shared/keys/holders.ts';
import type { DnsView, KeyStatus } from '#shared/keys/key-status.ts';
import { keyStatus, rotationStatus } from '#test/kit/dkim/fake-credential-store.ts';

/** Facts for the checks of `sealpost doctor`, as they should be but for what a test says instead. */

export const NOW = Date.now();
export const MINUTE = 60_000;
export const DAY = 86_400_000;

export function view(node: string, verdict: DnsView['verdict'] = 'ok', detail: string = verdict): DnsView {
  const summary = `s1._domainkey.example.com: ns1.example.com ${detail}`;
  return { node, verdict, summary, servers: [{ server: 'ns1.example.com', verdict, detail }], at: NOW };
}

export const checked = (own: Partial<KeyStatus> = {}, seen: Partial<CheckedKey> = {}): CheckedKey => ({
  key: keyStatus({ since: NOW - 2 * DAY, ...own }),
  views: [view('edge-1'), view('edge-2')],
  unproven: [],
  ...seen,
});

export const holder = (node: string, kind: Holder['kind'], own: Partial<Holder> = {}): Holder => ({
  node,
  kind,
  instance: `${node} ${kind}`,
  revision: 7,
  heard: 100,
  clock: node === 'edge-2' ? 3 : 0,
  neks: ['f1'],
  ...own,
});
export const STORES = [holder('edge-1', 'credential-store'), holder('edge-2', 'credential-store')];
export const SIGNERS = [holder('edge-1', 'signer'), holder('edge-2', 'signer')];

export const nek = (own: Partial<NekStatus> = {}): NekStatus => ({
  name: 'edge',
  fingerprint: 'f1',
  since: NOW - DAY,
  current: true,
  keys: 1,
  having: ['edge-1', 'edge-2'],
  lacking: [],
  ...own,
});

export function facts(own: Partial<Facts> = {}): Facts {
  const keys = own.keys ?? [checked()];
  const status = {
    node: 'edge-1',
    state: 'following' as const,
    revision: 7,
    keys: 1,
    holders: [...STORES, ...SIGNERS],
  };
  return {
    now: NOW,
    domains: ConfigSchema.parse({ domains: [{ name: 'example.com', signing: { mode: 'enforce' } }] }).domains,
    nekAge: 365 * DAY,
    status,
    stores: [{ ...status, sealed: true }],
    keys,
    stored: [keyStatus(), ...keys.map((k) => k.key)],
    unsigned: [],
    neks: [nek()],
    damage: [],
    exposures: [],
    rotations: [rotationStatus({ started: NOW - MINUTE })],
    members: [],
    ...own,
  };
}
export const status = (own: Partial<Facts['status']>): Pick<Facts, 'status'> => ({
  status: { ...facts().status, ...own },
});
export const domains = (entry: object, ...more: object[]): Pick<Facts, 'domains'> => ({
  domains: ConfigSchema.parse({ domains: [entry, ...more] }).domains,
});
export const enforce = { signing: { mode: 'enforce' } };

/** What differs, the check that speaks, how severe, about what, and words of the text and of what to do. */
export type Case = [string, Partial<Facts>, string, Finding['severity'], string, RegExp];

/** Each case is one finding; every one of `checks` has a case. */
export function testChecks(checks: object, cases: readonly Case[]): void {
  for (const [what, own, check, severity, about, words] of cases) {
    test(`${what}: ${severity} ${check}`, () => {
      const findings = examine(facts(own));
      assert.deepEqual(
        findings.map((f) => [f.check, f.severity, f.about]),
        [[check, severity, about]],
      );
      const [finding] = findings;
      assert.match(`${finding?.text}. ${finding?.help}`, words);
      assert.doesNotMatch(`${finding?.text}${finding?.help}`, /undefined|\.$/);
    });
  }
  after(() => assert.deepEqual([...new Set(cases.map((c) => c[2]))].sort(), Object.keys(checks).sort()));
}
