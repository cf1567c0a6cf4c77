import { z } from 'zod';
import { LDAP_PRESETS, placesOf } from '../ldap.ts';
import { duration, secret } from './values.ts';

/** The section `directory`: who has a mailbox here, and who may log in. */

/** Never repeated in a message: somebody may have put a password into it. */
const ldapUrl = z
  .string()
  .refine((text) => /^ldaps?:\/\/([^\s/?#@:[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?\/?$/.test(text) && URL.canParse(text), {
    error: 'expected ldaps://host or ldap://host, with :port where it is another one than 636 or 389, and nothing else',
  });

/** A filter (RFC 4515) with places for what is looked for. */
const filter = (...places: string[]) =>
  z.string().superRefine((text, context) => {
    const wanted = places.map((place) => `{${place}}`).join(' or ');
    const complain = (message: string): void => context.addIssue({ code: 'custom', message });
    try {
      const named = [...placesOf(text)];
      const strange = named.find((place) => !places.includes(place));
      if (strange !== undefined) complain(`{${strange}} has no meaning here: write ${wanted}`);
      else if (named.length === 0) complain(`it would find the same for everybody: write ${wanted} where that belongs`);
    } catch {
      complain(`"${text}" is not a filter such as (mail={address})`);
    }
  });

const attributes = z
  .array(
    z.string().refine((name) => /^[A-Za-z][A-Za-z0-9-]*$/.test(name), {
      error: (issue) => `${JSON.stringify(issue.input)} is not the name of an attribute`,
    }),
  )
  .optional();

const presets = Object.keys(LDAP_PRESETS) as (keyof typeof LDAP_PRESETS)[];

const ldapSection = z.strictObject({
  urls: z
    .array(ldapUrl)
    .min(1, 'name at least one server')
    .max(10)
    .describe(
      'servers that have the same entries, ldaps://host or ldap://host; the next one is asked when one is away',
    ),
  starttls: z
    .boolean()
    .default(true)
    .describe('StartTLS with ldap:// servers; without it they get passwords in clear text'),
  ca: z
    .string()
    .optional()
    .describe('PEM file: the authorities for the certificates of the servers instead of the public ones'),
  'bind-dn': z
    .string()
    .min(1)
    .max(1000)
    .optional()
    .describe('DN that asks the questions; without it they are anonymous'),
  password: secret.optional().describe('its password: the text, { file: … } or { env: … }'),
  base: z.string().max(1000).describe('DN below which is searched, such as dc=example,dc=com'),
  preset: z.enum(presets).describe('filters and attributes that suit this kind of directory'),
  filters: z
    .strictObject({
      address: filter('address', 'local', 'domain')
        .optional()
        .describe('finds users and groups by {address}, or its parts {local} and {domain}, such as (mail={address})'),
      login: filter('login').optional().describe('finds who logs in as {login}, such as (uid={login})'),
    })
    .prefault({}),
  attributes: z
    .strictObject({
      addresses: attributes.describe('addresses of a user or group, the main one first'),
      login: attributes.describe('names by which a user logs in; the first attribute has the name that is used'),
      targets: attributes.describe('addresses that mail goes to instead'),
      members: attributes.describe('members of a group: DNs, addresses or names of users'),
    })
    .prefault({}),
  ambiguous: z
    .enum(['refuse', 'all'])
    .default('refuse')
    .describe('an address that several users or groups have: refuse mail to it, or deliver to all of them'),
  referrals: z
    .enum(['defer', 'ignore'])
    .optional()
    .describe(
      'an answer that only names other servers, which are not asked: defer, or there is nothing; default: of the preset',
    ),
  timeout: duration('5s', 100, 8000).describe('time for all that a question takes; then it is deferred'),
  connections: z
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('connections of a process, each with one question at a time'),
  cache: z
    .strictObject({
      entries: z
        .number()
        .int()
        .min(0)
        .max(1_000_000)
        .default(50_000)
        .describe('values that are remembered, of all entries'),
      found: duration('5m', 0).describe('how long what was found is remembered; not for log-ins'),
      missing: duration('30s', 0).describe('how long it is remembered that there is no such entry'),
    })
    .prefault({}),
});

export const directorySection = z
  .strictObject({
    users: z
      .string()
      .optional()
      .describe(
        'YAML file of users and aliases, local to this node, which sealpost users edits; asked before the directory of the cluster',
      ),
    'mail-to-groups': z
      .enum(['expand', 'refuse-outsiders', 'refuse', 'pass-on'])
      .default('expand')
      .describe(
        'mail to the address of a group goes to its members; is refused from clients that are external and not authenticated; is refused; or goes on as it is, to a next hop that expands it',
      ),
    ldap: ldapSection.optional(),
  })
  .prefault({});
