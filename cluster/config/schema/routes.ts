import { z } from 'zod';
import { MailAddress } from '#shared/directory/values.ts';
import { routeOauth } from './oauth.ts';
import { explainVia, parseVia } from './route.ts';
import { domainOrAny, secret } from './values.ts';

/** `+Junk`: the tag of a recipient; or an address. */
const junkTo = z.string().transform((text, context) => {
  if (/^[+\-=_#][A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text)) return text;
  const address = MailAddress.safeParse(text);
  if (address.success) return address.data;
  context.addIssue({ code: 'custom', message: `"${text}" is neither an address nor a tag such as +Junk` });
  return z.NEVER;
});

/** An entry of `routes` in sealpost.yaml: where mail to a domain goes next. */
export const routeEntry = z.strictObject({
  to: domainOrAny.describe('recipient domain with everything below it, or *'),
  via: z
    .string()
    .refine((via) => parseVia(via) !== undefined, { error: (i) => explainVia(String(i.input)) })
    .describe(
      'mx | smtp[s]://[user@]host[:port] | lmtp://host[:port] | maildir:<folder> | capture | discard; ' +
        'smtps is TLS from the first byte, by default at port 465',
    ),
  password: secret
    .optional()
    .describe(
      'password for user@ in smtp:// and smtps://: the text, { file: … } or { env: … }; it goes to a verified certificate only',
    ),
  oauth: routeOauth
    .optional()
    .describe('log-in of user@ with an access token (XOAUTH2 or OAUTHBEARER) in place of a password'),
  tls: z
    .enum(['opportunistic', 'required', 'verified', 'off'])
    .default('opportunistic')
    .describe(
      'TLS at the next hop: where it is offered, always, always and with a valid certificate for the name of the host, or never',
    ),
  ca: z
    .string()
    .optional()
    .describe(
      'PEM file: the authorities, or the certificate itself, that a certificate is checked against instead of the public ones',
    ),
  'junk-to': junkTo
    .optional()
    .describe(
      'where mail marked as junk goes instead: an address, or +Junk for that tag of the recipient; default: to the recipient, in a Maildir to its folder .Junk',
    ),
  '8bit': z
    .enum(['convert', 'refuse'])
    .optional()
    .describe(
      '8-bit mail for a next hop without 8BITMIME: converted to 7 bit, or returned; default: convert to local domains, those of relay.allow.domains, and by smtp: or lmtp: to a named domain; only to the first two where that breaks a signature of others',
    ),
});
