import { z } from 'zod';
import { domain, nameServer, secret } from './values.ts';

/** The entries of `domains` and of `dns.zones`: whose mail is received and signed, and how keys get into DNS. */

export const domainEntry = z.strictObject({
  name: domain.describe('the domain; U-labels are accepted'),
  local: z
    .boolean()
    .default(false)
    .describe('mail for this domain is ours: recipients are checked against the directory'),
  signing: z
    .strictObject({
      mode: z
        .enum(['best-effort', 'enforce', 'off'])
        .default('best-effort')
        .describe('without a signature: send and count it, keep the mail, or never sign'),
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
          'how records get into DNS: by update of a zone in dns.zones, by hand, or behind CNAMEs; default: update where dns.zones allows it, else manual',
        ),
      cname: z
        .strictObject({
          target: domain.describe('zone that the CNAMEs point into; it must be one in dns.zones'),
          selectors: z.array(z.string()).min(2).describe('selectors whose CNAMEs stand in DNS; rotations take turns'),
        })
        .optional()
        .describe('for publish: cname; <selector>._domainkey.<domain> is a CNAME of <selector>.<domain>.<target>'),
      proof: z
        .enum(['dns', 'none'])
        .default('dns')
        .describe('none: keys sign though DNS was not asked; only for a domain that is in no DNS'),
    })
    .prefault({}),
});

export const zone = z.strictObject({
  name: domain.describe('name of the zone'),
  servers: z
    .array(nameServer)
    .default([])
    .describe('who is asked whether a record is there, address or address:port; empty: the name servers of the zone'),
  update: z
    .strictObject({
      server: nameServer.describe('the zone’s primary, address or address:port'),
      key: domain.describe('name of the TSIG key'),
      algorithm: z.enum(['hmac-sha256', 'hmac-sha512']).default('hmac-sha256').describe('HMAC of the TSIG key'),
      secret: secret.describe('its secret in base64: the text, { file: … } or { env: … }'),
    })
    .optional()
    .describe('how to change it: dynamic update (RFC 2136) signed with TSIG (RFC 8945)'),
});
