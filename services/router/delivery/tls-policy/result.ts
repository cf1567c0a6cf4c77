/**
 * What an attempt to open a session with a mail exchanger says about TLS, in the terms of TLS reports (RFC 8460 §4.3): one
 * for each host that was connected to for mail that goes by MX, and one for each policy that could not be had.
 */

export const TLS_FAILURES = [
  'starttls-not-supported',
  'certificate-host-mismatch',
  'certificate-expired',
  'certificate-not-trusted',
  'validation-failure',
  'tlsa-invalid',
  'dnssec-invalid',
  'dane-required',
  'sts-policy-fetch-error',
  'sts-policy-invalid',
  'sts-webpki-invalid',
] as const;
export type TlsFailure = (typeof TLS_FAILURES)[number];

/** The policy of a domain that was applied (RFC 8460 §4.2). */
export type AppliedPolicy = {
  type: 'tlsa' | 'sts' | 'no-policy-found';
  /** The TLSA records, or the lines of the policy file; empty where there is no policy. */
  strings: readonly string[];
  /** Patterns of `mx` of an MTA-STS policy. */
  mxHosts: readonly string[];
};

export type TlsResult = {
  /** The recipient's domain. */
  domain: string;
  policy: AppliedPolicy;
  /** Undefined: the policy could not be had, and no host was connected to for it. */
  host: { name: string; address: string; localAddress: string | undefined } | undefined;
  /** Undefined: the session is protected as the policy asks. */
  failure: { type: TlsFailure; reason: string } | undefined;
};

/** Takes results; never throws and does not wait. */
export type OnTlsResult = (result: TlsResult) => void;
