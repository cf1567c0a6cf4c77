import { isIP } from 'node:net';
import { z } from 'zod';
import { CertificateName } from '#shared/tls/stored-certificate.ts';
import { domain, port } from '../values.ts';

/** Certificates that the cluster orders by itself. */

/** A host, or every host right below a domain (RFC 9525 §6.3). */
const certifiedName = z.union(
  [
    z
      .string()
      .regex(/^\*\.(?!\*)/)
      .transform((text) => text.slice(2))
      .pipe(domain)
      .transform((name) => `*.${name}`),
    domain,
  ],
  {
    error: ({ input }) => `${JSON.stringify(input)} is not a domain name or "*." in front of one`,
  },
);

export const orderedCertificate = z.strictObject({
  name: CertificateName.describe('what it is called here, as in tls.credential and in sealpost certificates'),
  names: z
    .array(certifiedName)
    .min(1)
    .max(100)
    .describe('host names that it is for, with dns-01 *.example.com among them'),
  acme: z.strictObject({
    directory: z
      .url({ protocol: /^https$/, error: 'expected the https:// address of an ACME directory' })
      .describe('address of the directory of the authority (RFC 8555); its terms of service are agreed to'),
    contact: z
      .array(z.string().regex(/^mailto:[^\s@]+@[^\s@]+$/, 'a contact is mailto:user@domain'))
      .prefault([])
      .describe('where the authority writes to when something is wrong: mailto:hostmaster@example.com'),
    challenge: z
      .enum(['dns-01', 'http-01'])
      .default('dns-01')
      .describe(
        'how the names are proven: by TXT records in zones that dns.zones can update, or by HTTP on port 80 of each name (http-challenge)',
      ),
    ca: z
      .string()
      .optional()
      .describe('PEM file: the authorities for the certificate of the directory besides the public ones'),
  }),
});

export const httpChallengeSection = z
  .strictObject({
    address: z
      .string()
      .refine((a) => isIP(a) !== 0, 'not an IP address')
      .default('::')
      .describe('address that challenges of ACME are answered on; :: means every address, IPv4 too'),
    port: port.default(80).describe('port of it; authorities ask port 80'),
  })
  .optional();
