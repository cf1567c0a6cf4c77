import { isIP } from 'node:net';
import { z } from 'zod';
import { domain, duration, port } from '../values.ts';

/** What other servers can learn of our TLS: the MTA-STS policy (RFC 8461), and where they send reports (RFC 8460). */

/** RFC 8461 §3.2: 31557600 seconds. A day is what it gives as an example for a policy that is being withdrawn (§2.5). */
const LONGEST_AGE_MS = 31_557_600_000;
const SHORTEST_AGE_MS = 86_400_000;

/** A host name, or `*.` and a domain for every host one level below it (RFC 8461 §4.1). */
const mxPattern = z.string().transform((text, context) => {
  const isPattern = text.startsWith('*.');
  const name = domain.safeParse(isPattern ? text.slice(2) : text);
  if (name.success) return isPattern ? `*.${name.data}` : name.data;
  context.addIssue({
    code: 'custom',
    message: `"${text}" is not a host name such as mx1.example.com or *.example.com`,
  });
  return z.NEVER;
});

export const mtaStsSection = z
  .strictObject({
    mode: z
      .enum(['testing', 'enforce', 'none'])
      .default('testing')
      .describe('senders report what fails; or do not deliver then; or forget the policy that they have'),
    'max-age': duration('7d', SHORTEST_AGE_MS, LONGEST_AGE_MS).describe('how long senders keep the policy'),
    mx: z
      .array(mxPattern)
      .prefault([])
      .describe('mail exchangers of the domains, names or *.example.com; empty: node.hostname'),
    domains: z.array(domain).prefault([]).describe('domains with this policy; empty: every local one of domains'),
    address: z
      .string()
      .refine((a) => isIP(a) !== 0, 'not an IP address')
      .default('::')
      .describe('address that the policy is served on; :: means every address, IPv4 too'),
    port: port.default(443).describe('port of it; senders use 443'),
    tls: z
      .enum(['implicit', 'none'])
      .default('implicit')
      .describe('HTTPS with the certificates of tls; or HTTP for a proxy on this machine, which adds TLS'),
  })
  .optional();

export const tlsRptSection = z
  .strictObject({
    rua: z
      .array(
        z.string().refine((uri) => /^(mailto:[^\s,;!@]+@[^\s,;!@]+|https:\/\/[^\s,;!]+)$/.test(uri), {
          error: (i) => `${JSON.stringify(i.input)} is not mailto:address or https://…; write , ; and ! as %2C %3B %21`,
        }),
      )
      .prefault([])
      .describe('where others send their reports on TLS with the local domains: mailto:address or https://…'),
  })
  .prefault({});
