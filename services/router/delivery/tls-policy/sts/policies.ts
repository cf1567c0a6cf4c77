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
 * announces one; `unknown`: this is trouble of the moment, and the domain may well have a policy.
 */
export type StsAnswer =
  | { kind: 'policy'; policy: StsPolicy }
  | { kind: 'none'; unknown?: true; failure?: { type: TlsFailure; reason: string } };

export type StsPolicies = {
  /** Never rejects. A domain is a name in A-labels; literals have no policy. */
  find(domain: string): Promise<StsAnswer>;
};

/**
 * Whether a policy names a mail exchanger (RFC 8461 §4.1). `*` stands for one label, the leftmost: `*.example.com` is neither
 * `example.com` nor `a.b.example.com`.
 */
export function namesHost({ mx }: Pick<StsPolicy, 'mx'>, host: string): boolean {
  const name = canonical(host);
  const [first = '', ...rest] = name.split('.');
  const parent = first === '' || rest.length === 0 ? undefined : rest.join('.');
  return mx
    .map(canonical)
    .some((pattern) => pattern === name || (pattern.startsWith('*.') && pattern.slice(2) === parent));
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
