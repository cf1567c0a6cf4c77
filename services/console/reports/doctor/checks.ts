import { DNS_CHECKS } from './checks-dns.ts';
import { DOMAIN_CHECKS } from './checks-domains.ts';
import { KEY_CHECKS } from './checks-keys.ts';
import { NODE_CHECKS } from './checks-nodes.ts';
import { RECORD_CHECKS } from './checks-records.ts';
import type { Check, Facts, Finding, Severity } from './finding.ts';

/** Every check by its name, which programs may rely on. */
export const DOCTOR_CHECKS: Record<string, Check> = {
  ...NODE_CHECKS,
  ...RECORD_CHECKS,
  ...DOMAIN_CHECKS,
  ...KEY_CHECKS,
  ...DNS_CHECKS,
};

const ORDER: readonly Severity[] = ['error', 'warning', 'note'];

/** Everything there is to say, the worst first. */
export function examine(facts: Facts): (Finding & { check: string })[] {
  return Object.entries(DOCTOR_CHECKS)
    .flatMap(([check, find]) => find(facts).map((finding) => ({ check, ...finding })))
    .sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
}
