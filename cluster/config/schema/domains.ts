import { z } from 'zod';
import { domain, nameServer, secret } from './values.ts';

/** The entries of `domains` and of `dns.zones`: whose mail is received and signed, and how keys get into DNS. */

export const domainEntry = z.strictObject({
  name: domain.describe('the domain; U-labels are accepted'),
  local: z
    .boolean()
    .default(false)
    .describe('mail for this domain is accepted; recipients are checked against the directory'),
  'tls-header': z
    .boolean()
    .default(false)
    .describe(
      'mail for this domain, where it is local, gets a field Sealpost-Transport-Security: whether it came to this server in TLS',
    ),
  signing: z
    .strictObject({
      mode: z
        .enum(['best-effort', 'enforce', 'off'])
        .default('best-effort')
        .describe('mail that cannot be signed is sent and counted, or waits; or mail is never signed'),
      selectors: z
        .array(z.string())
        .optional()
        .describe('sign with these selectors only; default: every active key of the domain'),
    })
    .prefault({}),
  'sign-as': domain.optional().describe('sign with the keys of this domain (d= is that domain)'),
  keys: z
    .strictObject({
      publish: z
        .enum(['update', 'manual', 'cname'])
        .optional()
        .describe(
          'how records get into DNS: by update of a zone in dns.zones, by hand, or by CNAMEs; default: update where dns.zones allows it, else manual',
        ),
      cname: z
        .strictObject({
          target: domain.describe('zone that the CNAMEs point into, one of dns.zones'),
          selectors: z
            .array(z.string())
            .min(2)
            .describe('selectors that have a CNAME in DNS; rotations take turns with them'),
        })
        .optional()
        .describe('for publish: cname; <selector>._domainkey.<domain> is a CNAME of <selector>.<domain>.<target>'),
      proof: z
        .enum(['dns', 'none'])
        .default('dns')
        .describe('none: keys sign without a record, only for a domain that is not in DNS'),
    })
    .prefault({}),
});

/** RFC 8945 §6. Not MD5, which every server that is maintained can do without. */
const TSIG_ALGORITHMS = ['hmac-sha1', 'hmac-sha224', 'hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const;

export const zone = z.strictObject({
  name: domain.describe('name of the zone'),
  servers: z
    .array(nameServer)
    .default([])
    .describe('name servers that are asked for records, address or address:port; empty: those of the zone'),
  update: z
    .strictObject({
      server: nameServer.describe('the zone’s primary, address or address:port'),
      key: domain.describe('name of the TSIG key'),
      algorithm: z.enum(TSIG_ALGORITHMS).default('hmac-sha256').describe('HMAC of the TSIG key'),
      secret: secret.describe('secret of the TSIG key in base64: the text, { file: … } or { env: … }'),
    })
    .optional()
    .describe('how to change the zone: dynamic update (RFC 2136), signed with TSIG (RFC 8945)'),
});
