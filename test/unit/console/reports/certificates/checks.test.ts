import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLUSTER_CERTIFICATE_CHECKS } from '#services/console/reports/certificates/checks.ts';
import { usedAt } from '#services/console/reports/certificates/facts.ts';
import { runChecks } from '#services/console/reports/doctor/finding.ts';
import { CERTIFICATE_CASES, certificate, given, presents } from './cases.ts';

/** What is said of the certificates of the cluster. */

for (const [what, facts, check, severity, about, words] of CERTIFICATE_CASES) {
  test(`${what}: ${check}`, () => {
    const findings = runChecks(CLUSTER_CERTIFICATE_CHECKS, facts);
    assert.deepEqual(
      findings.map((found) => [found.check, found.severity, found.about]),
      [[check, severity, about]],
    );
    assert.match(`${findings[0]?.text}: ${findings[0]?.help}`, words);
  });
}

test('of good certificates, and of a cluster that goes by its files, nothing is said', () => {
  assert.deepEqual(runChecks(CLUSTER_CERTIFICATE_CHECKS, given()), []);
  const files = given({ certificates: [], served: [presents({ certificates: [] })] });
  assert.deepEqual(runChecks(CLUSTER_CERTIFICATE_CHECKS, files), []);
});

test('a certificate is in use where exactly it is presented', () => {
  const other = presents({ node: 'edge-2', certificates: [{ name: 'mx', standard: true, fingerprint: 'CD' }] });
  assert.deepEqual(usedAt(certificate(), [presents({ node: 'edge-3' }), presents(), other]), ['edge-1', 'edge-3']);
});
