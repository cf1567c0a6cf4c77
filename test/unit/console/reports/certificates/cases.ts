import type { CertificateFacts, Served } from '#services/console/reports/certificates/facts.ts';
import type { Finding } from '#services/console/reports/doctor/finding.ts';
import type { CertificateStatus } from '#shared/tls/certificate-status.ts';

/** Certificates of the cluster of which something is to be said, and what: of doctor and of cluster status. */

const DAY_MS = 86_400_000;
const NOW = Date.now();

type Current = NonNullable<CertificateStatus['current']>;

/** One that is good for 90 days from `from`. */
export function certificate(own: Partial<Current> = {}, renewal?: CertificateStatus['renewal']): CertificateStatus {
  const from = own.from ?? NOW - DAY_MS;
  const current: Current = {
    ...{ names: ['mx.example.com'], issuer: 'Root', from, until: from + 90 * DAY_MS, key: 'P-256', fingerprint: 'AB' },
    ...{ origin: 'import', since: from, node: 'edge-1', nek: 'tls (0123456789abcdef)' },
    ...own,
  };
  return { name: 'mx', current, ...(renewal && { renewal }) };
}

/** A listener that presents it. */
export const presents = (own: Partial<Served> = {}): Served => ({
  node: 'edge-1',
  certificates: [{ name: 'mx', standard: true, fingerprint: 'AB' }],
  ...own,
});

export const given = (own: Partial<CertificateFacts> = {}): CertificateFacts => ({
  ...{ now: NOW, certificates: [certificate()], served: [presents()] },
  ...own,
});

const since = NOW - 3 * 3_600_000;
const problem = { text: 'the authority takes no order: rate limited', since, tries: 3, next: NOW + 600_000 };
const lastDays = { from: NOW - 80 * DAY_MS, until: NOW + 10 * DAY_MS };

type Case = [string, CertificateFacts, string, Finding['severity'], string, RegExp];
export const CERTIFICATE_CASES: Case[] = [
  [
    'a certificate that has expired',
    given({ certificates: [certificate({ from: NOW - 91 * DAY_MS })] }),
    'certificate-expired',
    'error',
    'certificate mx',
    /expired on \d{4}-\d\d-\d\d, 1d ago: .*certificates import mx/,
  ],
  [
    'a certificate that ends soon',
    given({ certificates: [certificate(lastDays)] }),
    'certificate-expiring',
    'warning',
    'certificate mx',
    /expires on .*, in 10d.*certificates import mx/,
  ],
  [
    'one of the section certificates that ends soon',
    given({ certificates: [certificate(lastDays, { at: NOW - 20 * DAY_MS })] }),
    'certificate-expiring',
    'warning',
    'certificate mx',
    /certificates order mx/,
  ],
  [
    'one of six days of which a third is left',
    given({ certificates: [certificate({ from: NOW - 4.1 * DAY_MS, until: NOW + 1.9 * DAY_MS })] }),
    'certificate-expiring',
    'warning',
    'certificate mx',
    /expires on .*, in 1d/,
  ],
  [
    'an order that fails while there is a certificate',
    given({ certificates: [certificate({}, { problem })] }),
    'certificate-order-failed',
    'warning',
    'certificate mx',
    /could not be ordered, 3 times since 3h: .*rate limited.*again in 10m.*certificates order mx/,
  ],
  [
    'an order that fails where there is none',
    given({ certificates: [certificate(), { name: 'new', renewal: { problem: { ...problem, tries: 1 } } }] }),
    'certificate-order-failed',
    'error',
    'certificate new',
    /could not be ordered, once since/,
  ],
  [
    'a listener that cannot use what the store has',
    given({
      served: [presents({ certificates: [{ name: 'mx', standard: true, fingerprint: 'CD', problem: 'no NEK' }] })],
    }),
    'certificate-unused',
    'error',
    'node edge-1',
    /cannot use certificate mx, it goes on with the one before: no NEK/,
  ],
  [
    'a listener that no store answers',
    given({ served: [presents({ behind: 'no credential-store answers' })] }),
    'certificates-behind',
    'warning',
    'node edge-1',
    /may not have the newest certificates: no credential-store answers/,
  ],
  [
    'listeners without a default',
    given({ served: [presents(), presents({ node: 'edge-2', certificates: [] })] }),
    'no-standard-certificate',
    'warning',
    'nodes edge-2',
    /have no certificate of the cluster for clients that name no host/,
  ],
];
