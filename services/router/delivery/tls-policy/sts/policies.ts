import type { TlsFailure } from '../result.ts';

/** What delivery asks of MTA-STS (RFC 8461). */

export type StsPolicy = {
  /** `id` of the record that it was fetched for. */
  id: string;
  mode: 'enforce' | 'testing';
  /** Patterns, in lower case, in the order of the file. */
  mx: readonly string[];
  /** Lines of the policy file, for reports. */
  lines: readonly string[];
};

/**
 * The policy of a domain. `none`: it has none, or none that can be applied; `failure`: the reason why, where the domain
 * announces one.
 */
export type StsAnswer =
  | { kind: 'policy'; policy: StsPolicy }
  | { kind: 'none'; failure?: { type: TlsFailure; reason: string } };

export type StsPolicies = {
  /** Never rejects. A domain is a name in A-labels; literals have no policy. */
  find(domain: string): Promise<StsAnswer>;
};
