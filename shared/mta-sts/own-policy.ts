import { createHash } from 'node:crypto';

/** The MTA-STS policy of our own domains (RFC 8461): the file that others fetch, and the record that tells of it. */

export type StsMode = 'enforce' | 'testing' | 'none';
/** `mx`: host names and patterns such as `*.example.com`; `maxAgeMs`: how long others keep the policy. */
export type OwnStsPolicy = { mode: StsMode; mx: readonly string[]; maxAgeMs: number };

/** The host that serves the policy of a domain (§3.3). */
export const stsHost = (domain: string): string => `mta-sts.${domain}`;

/** The policy file (§3.2). */
export function stsPolicyText({ mode, mx, maxAgeMs }: OwnStsPolicy): string {
  const lines = [
    'version: STSv1',
    `mode: ${mode}`,
    ...mx.map((name) => `mx: ${name}`),
    `max_age: ${Math.floor(maxAgeMs / 1000)}`,
  ];
  return lines.map((line) => `${line}\r\n`).join('');
}

/**
 * The id of a policy, at most 32 letters and digits (§3.1). Made from its text, it changes exactly when the policy does, and
 * is the same on every node without a word between them. Senders compare it with that of the policy which they have, so an
 * earlier id may come back with an earlier policy.
 */
export function stsPolicyId(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** Where the record of it is. */
export const stsRecordName = (domain: string): string => `_mta-sts.${domain}`;

/** The value of the TXT record `_mta-sts.<domain>`. */
export const stsRecordValue = (id: string): string => `v=STSv1; id=${id};`;
