import { type Finding, runChecks, worstFirst } from '../doctor/finding.ts';
import { CERTIFICATE_CHECKS } from './checks-certificates.ts';
import { CHAIN_CHECKS } from './checks-chains.ts';
import { FILE_CHECKS } from './checks-files.ts';
import { NAME_CHECKS } from './checks-names.ts';
import { PAIR_CHECKS } from './checks-pairs.ts';
import type { TlsFacts } from './facts.ts';
import { PUBLISHED_CHECKS } from './published/checks.ts';

/** Every check by its name, which programs may rely on. */
export const TLS_CHECKS: Record<string, (facts: TlsFacts) => Finding[]> = {
  ...FILE_CHECKS,
  ...PAIR_CHECKS,
  ...CHAIN_CHECKS,
  ...CERTIFICATE_CHECKS,
  ...NAME_CHECKS,
  ...PUBLISHED_CHECKS,
};

/** Everything there is to say, the worst first; a file that two options name is told once. */
export function examineTls(facts: TlsFacts): (Finding & { check: string })[] {
  const findings = new Map(runChecks(TLS_CHECKS, facts).map((finding) => [JSON.stringify(finding), finding]));
  return worstFirst([...findings.values()]);
}
