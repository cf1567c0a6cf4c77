import type { CertificateStatus } from '#shared/tls/certificate-status.ts';
import { formatDuration } from '#shared/units.ts';
import { type Finding, listText } from '../doctor/finding.ts';
import type { CertificateFacts } from './facts.ts';

/** Whether the certificates of the cluster are good, in time, and in use at every listener. */

const DAY_MS = 86_400_000;
/** What is left of a certificate's life when the next one should be there: two weeks, or a third of a short life. */
const SOON_MS = 14 * DAY_MS;

/** Whether a certificate is still good, and long enough. */
export function validityOf({ from, until }: { from: number; until: number }, now: number): Validity {
  if (until < now) return 'expired';
  return until - now > Math.min(SOON_MS, (until - from) / 3) ? 'valid' : 'expiring';
}
type Validity = 'valid' | 'expiring' | 'expired';

export const CLUSTER_CERTIFICATE_CHECKS: Record<string, (facts: CertificateFacts) => Finding[]> = {
  'certificate-expired': ({ certificates, now }) =>
    current(certificates).flatMap(({ name, until, help }): Finding[] => {
      if (until >= now) return [];
      const text = `expired on ${day(until)}, ${formatDuration(now - until)} ago: clients that check it do not deliver`;
      return [{ severity: 'error', about: `certificate ${name}`, text, help }];
    }),

  'certificate-expiring': ({ certificates, now }) =>
    current(certificates).flatMap(({ name, from, until, help }): Finding[] => {
      if (validityOf({ from, until }, now) !== 'expiring') return [];
      const text = `expires on ${day(until)}, in ${formatDuration(until - now)}`;
      return [{ severity: 'warning', about: `certificate ${name}`, text, help }];
    }),

  'certificate-order-failed': ({ certificates, now }) =>
    certificates.flatMap(({ name, current, renewal }): Finding[] => {
      const { problem } = renewal ?? {};
      if (problem === undefined) return [];
      const { text: why, since, tries, next } = problem;
      const times = tries === 1 ? 'once' : `${tries} times`;
      const text = `could not be ordered, ${times} since ${formatDuration(now - since)}: ${why}`;
      const again = `it is tried again in ${formatDuration(Math.max(0, next - now))}`;
      const help = `put right what it says; ${again}, immediately by "sealpost certificates order ${name}"`;
      const severity = current === undefined || current.until < now ? 'error' : 'warning';
      return [{ severity, about: `certificate ${name}`, text, help }];
    }),

  'certificate-unused': ({ served }) =>
    served.flatMap(({ node, certificates }) =>
      certificates.flatMap(({ name, fingerprint, problem }): Finding[] => {
        if (problem === undefined) return [];
        const instead = fingerprint === undefined ? 'it presents none in its place' : 'it goes on with the one before';
        return [
          {
            severity: 'error',
            about: `node ${node}`,
            text: `its listeners cannot use certificate ${name}, ${instead}: ${problem}`,
            help: 'put right what it says; they try again every half minute',
          },
        ];
      }),
    ),

  'certificates-behind': ({ served }) =>
    served.flatMap(({ node, behind }): Finding[] => {
      if (behind === undefined) return [];
      const text = `its listeners may not have the newest certificates: ${behind}`;
      const help = 'they go on with those that they have; see that a credential-store with the NEKs of tls.nek answers';
      return [{ severity: 'warning', about: `node ${node}`, text, help }];
    }),

  'no-standard-certificate': ({ served, certificates }) => {
    // A cluster that has none goes by its files.
    if (certificates.length === 0) return [];
    const without = served.filter(({ certificates }) => !certificates.some(({ standard }) => standard));
    if (without.length === 0) return [];
    const about = `nodes ${listText([...new Set(without.map(({ node }) => node))])}`;
    const text = 'have no certificate of the cluster for clients that name no host';
    const help =
      'import or order one for node.hostname, or name one in tls.credential; certificate and key of tls are used until then';
    return [{ severity: 'warning', about, text, help }];
  },
};

type Current = NonNullable<CertificateStatus['current']> & { name: string; help: string };

function current(certificates: readonly CertificateStatus[]): Current[] {
  return certificates.flatMap(({ name, current, renewal }) => {
    if (current === undefined) return [];
    const [what, how] =
      renewal === undefined ? ['get a new one and take it in', 'import'] : ['order the next one', 'order'];
    return [{ name, ...current, help: `${what}: "sealpost certificates ${how} ${name}"` }];
  });
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
