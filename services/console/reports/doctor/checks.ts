import { CLUSTER_CERTIFICATE_CHECKS } from '../certificates/checks.ts';
import { DNS_CHECKS } from './checks-dns.ts';
import { DOMAIN_CHECKS } from './checks-domains.ts';
import { KEY_CHECKS } from './checks-keys.ts';
import { NODE_CHECKS } from './checks-nodes.ts';
import { RECORD_CHECKS } from './checks-records.ts';
import { type Check, type Facts, type Finding, runChecks, worstFirst } from './finding.ts';

const CERTIFICATE_CHECKS: Record<string, Check> = Object.fromEntries(
  Object.entries(CLUSTER_CERTIFICATE_CHECKS).map(([name, find]): [string, Check] => [
    name,
    ({ certificates }) => (certificates === undefined ? [] : find(certificates)),
  ]),
);

/** Every check by its name, which programs may rely on. */
export const DOCTOR_CHECKS: Record<string, Check> = {
  ...NODE_CHECKS,
  ...RECORD_CHECKS,
  ...DOMAIN_CHECKS,
  ...KEY_CHECKS,
  ...DNS_CHECKS,
  ...CERTIFICATE_CHECKS,
};

/** Everything there is to say, the worst first. */
export function examine(facts: Facts): (Finding & { check: string })[] {
  return worstFirst(runChecks(DOCTOR_CHECKS, facts));
}
