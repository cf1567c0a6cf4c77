import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { fakeStore } from '#test/kit/dkim/fake-credential-store.ts';
import { certificate } from '#test/unit/console/reports/certificates/cases.ts';

/** Reports end with 1 where somebody must see to something. `sealpost tls check`: test/integration/console/cli/tls.test.ts. */

const DAY_MS = 86_400_000;
const DOMAIN = 'domains: [{ name: example.com, signing: { mode: off } }]';

const HOLDERS = (['credential-store', 'signer'] as const).map((kind) => ({
  ...{ node: 'edge-1', kind, instance: kind, revision: 7, heard: 1, clock: 0, neks: [] },
}));

/** A node whose store has these certificates, and a NEK that wraps nothing any more, which is a note of doctor. */
const storeWith = (certificates: CertificateStatus[]) =>
  fakeStore(
    {
      'status-show': () => ({
        node: 'edge-1',
        state: 'following',
        revision: 7,
        keys: 0,
        sealed: true,
        holders: HOLDERS,
      }),
      'key-list': () => ({ node: 'edge-1', keys: [] }),
      'nek-list': () => ({
        neks: ['edge', 'old'].map((name) => ({
          ...{ name, fingerprint: name, since: Date.now() - DAY_MS, current: name === 'edge', keys: 0, passwords: 0 },
          ...{ having: ['edge-1'], lacking: [] },
        })),
      }),
      'certificate-list': () => ({ node: 'edge-1', certificates }),
    },
    `credentials: { nek: ./secrets/nek.key }\n${DOMAIN}`,
  );

type Report = { ok: boolean; findings: { severity: string; check: string }[] };

for (const [what, certificates, doctor, list] of [
  ['a note', [certificate()], { code: 0, found: ['note nek-unused'] }, { code: 0, found: [] }],
  [
    'a warning',
    [certificate({ from: Date.now() - 85 * DAY_MS })],
    { code: 1, found: ['warning certificate-expiring', 'note nek-unused'] },
    { code: 1, found: ['warning certificate-expiring'] },
  ],
  [
    'an error',
    [certificate({ from: Date.now() - 91 * DAY_MS })],
    { code: 1, found: ['error certificate-expired', 'note nek-unused'] },
    { code: 1, found: ['error certificate-expired'] },
  ],
] as const)
  test(`the exit codes of doctor and of the list of certificates: ${what}`, async () => {
    await using store = await storeWith([...certificates]);
    for (const [args, { code, found }] of [
      [['doctor'], doctor],
      [['certificates', 'list'], list],
    ] as const) {
      const said = await store.run(...args, '--json');
      const { ok, findings } = JSON.parse(said.stdout) as Report;
      assert.deepEqual(
        [said.code, ok, findings.map(({ severity, check }) => `${severity} ${check}`)],
        [code, code === 0, [...found]],
        args.join(' '),
      );
    }
  });
