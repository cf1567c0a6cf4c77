import { z } from 'zod';
import { domain, host, listedDomain } from './values.ts';

/** The section `relay`: who may send mail to domains that are not local (DOMINO R1-R6). */

const hostsAndDomains = z.strictObject({
  hosts: z
    .array(host)
    .prefault([])
    .describe('IP addresses, networks, host names with everything below them, group:NAME, or *'),
  domains: z.array(listedDomain).prefault([]).describe('domains with everything below them, group:NAME, or *'),
});

/** A client certificate: `sha256:` and hexadecimal digits, or a host name in it. */
const clientCertificate = z.string().transform((text, context) => {
  const digits = text.replace(/^sha256:/i, '').replaceAll(':', '');
  if (/^[0-9a-f]{64}$/i.test(digits)) return `sha256:${digits.toLowerCase()}`;
  const name = domain.safeParse(text);
  if (name.success && !/^sha\d+:/i.test(text)) return name.data;
  context.addIssue({
    code: 'custom',
    message: `"${text}" is neither a host name nor the SHA-256 fingerprint of a certificate: sha256: and 64 hexadecimal digits`,
  });
  return z.NEVER;
});

export const relaySection = z
  .strictObject({
    scope: z
      .enum(['all', 'external', 'none'])
      .default('all')
      .describe('which clients the relay rules hold for: all, those that are not internal, or none: an open relay'),
    internal: z
      .strictObject({
        hosts: z
          .array(host)
          .prefault([])
          .describe('internal hosts: IP addresses, networks, host names with everything below them, group:NAME'),
        names: z
          .boolean()
          .default(false)
          .describe(
            'clients whose name, by reverse DNS that forward DNS confirms, is in a local domain are internal too',
          ),
      })
      .prefault({}),
    exclude: z.array(host).prefault([]).describe('hosts that the relay rules do not hold for: as in internal.hosts'),
    authenticated: z
      .enum(['exempt', 'checked'])
      .default('exempt')
      .describe('authenticated users may relay anywhere, or as these rules allow'),
    precedence: z
      .enum(['deny', 'allow'])
      .default('deny')
      .describe('which list wins where entries of both name the client or the domain'),
    allow: hostsAndDomains
      .extend({
        certificates: z
          .array(clientCertificate)
          .prefault([])
          .describe(
            'client certificates, by sha256: and their fingerprint, or by a host name in one that the authorities of the listener issued: see client-certificates of listeners',
          ),
      })
      .prefault({})
      .describe('hosts that may relay anywhere; domains that any host may relay to'),
    deny: hostsAndDomains.prefault({}).describe('hosts that may never relay; domains that no host may relay to'),
  })
  .prefault({});
