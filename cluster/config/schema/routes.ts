import { isIP } from 'node:net';
import { z } from 'zod';
import { MailAddress } from '#shared/directory/values.ts';
import { routeOauth } from './oauth.ts';
import { explainVia, parseVia } from './route.ts';
import { domain, domainOrAny, secret, senderOrAny } from './values.ts';

/** `+Junk`: the tag of a recipient; or an address. */
const junkTo = z.string().transform((text, context) => {
  if (/^[+\-=_#][A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text)) return text;
  const address = MailAddress.safeParse(text);
  if (address.success) return address.data;
  context.addIssue({ code: 'custom', message: `"${text}" is neither an address nor a tag such as +Junk` });
  return z.NEVER;
});

const hopText = z.string().refine((via) => parseVia(via) !== undefined, { error: (i) => explainVia(String(i.input)) });

/** Hosts in a list: each costs an attempt that finds them all down the time to connect. */
const MOST_HOPS = 10;

/** A host in the list of `via`, in its long form. */
const routeHop = z.strictObject({
  hop: hopText.describe('smtp[s]://[user@]host[:port] or lmtp://host[:port]'),
  weight: z
    .number()
    .int()
    .min(1)
    .max(1000)
    .optional()
    .describe(
      'its part of the mail, beside the neighbours in the list that have a weight; without one, hosts are taken in their order',
    ),
  password: secret.optional().describe('password of user@ at this host; default: that of the route'),
  oauth: routeOauth
    .optional()
    .describe('log-in of user@ at this host with an access token; default: that of the route'),
});

/** Said of what is neither: what is wrong in a text, a list or an entry says itself. */
const wrongForm = (isForm: (input: object) => boolean, text: string) => ({
  error: ({ input }: { input?: unknown }) => {
    const isKnown =
      typeof input === 'object' ? input === null || isForm(input) : ['undefined', 'string'].includes(typeof input);
    return isKnown ? undefined : text;
  },
});

const listedHop = z.union(
  [hopText, routeHop],
  wrongForm((input) => !Array.isArray(input), 'expected smtp://host …, lmtp://host … or { hop: …, weight: … }'),
);

/** An entry of `routes` in sealpost.yaml: where mail to a domain goes next. */
export const routeEntry = z.strictObject({
  to: domainOrAny.describe('recipient domain with everything below it, or *'),
  from: senderOrAny
    .optional()
    .describe(
      'only mail with this reverse-path: an address, a domain with everything below it, or * (not the null one)',
    ),
  user: z.string().min(1).optional().describe('only mail of this authenticated user, or * for mail of any user'),
  via: z
    .union(
      [hopText, z.array(listedHop).min(1).max(MOST_HOPS)],
      wrongForm(Array.isArray, 'expected mx, smtp://host …, or a list of hosts'),
    )
    .describe(
      'mx | smtp[s]://[user@]host[:port] | lmtp://host[:port] | maildir:<folder> | capture | discard; ' +
        'smtps is TLS from the first byte, by default at port 465. Or a list of hosts: the next one is tried where one cannot take mail',
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
  source: z
    .string()
    .refine((text) => isIP(text) === 4, { error: (i) => `"${String(i.input)}" is not an IPv4 address` })
    .optional()
    .describe('IPv4 address of this machine that connections come from; without source6, IPv4 alone is used'),
  source6: z
    .string()
    .refine((text) => isIP(text) === 6 && !text.includes('%'), {
      error: (i) => `"${String(i.input)}" is not an IPv6 address`,
    })
    .optional()
    .describe('IPv6 address of this machine that connections come from; without source, IPv6 alone is used'),
  family: z
    .enum(['any', 'ipv4', 'ipv6'])
    .optional()
    .describe('addresses of the next hop that are used; default: any, or those of source and source6'),
  ehlo: domain
    .optional()
    .describe('our name in EHLO on this route, where its addresses have one of their own; default: node.hostname'),
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
