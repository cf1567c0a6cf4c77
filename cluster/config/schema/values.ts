import { isIP } from 'node:net';
import { z } from 'zod';
import { domainOf, localPartOf, normalizeAddress, normalizeDomain } from '#shared/address/address.ts';
import { parseNetwork } from '#shared/address/ip-address.ts';
import { Secret } from '#shared/secret.ts';
import { formatDuration, parseDuration, parseRate, parseSize, type Rate } from '#shared/units.ts';
import { containerName } from '../../container-name.ts';
import { SecretReference } from '../secrets.ts';

/**
 * The kinds of values that options of the configuration have; `schema.ts` says where each stands. `kind` is what
 * `sealpost config schema` calls a text that has a form of its own.
 */

/** Longest delay of a Node timer is 2^31 ms: a longer one would fire immediately. */
const LONGEST_TIMER_MS = 24 * 86_400_000;
export const TEN_YEARS_MS = 3650 * 86_400_000;

/** A duration such as `5m`, in milliseconds between `least` and `most`; 0s only where it means "never". */
export const duration = (fallback: string, least = 1, most = LONGEST_TIMER_MS) =>
  z
    .string({ error: (i) => `expected a duration such as ${fallback}, got ${JSON.stringify(i.input)}` })
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms === undefined) {
        context.addIssue({ code: 'custom', message: `"${text}" is not a duration: write 90s, 5m, 4h or 5d` });
      } else if (ms < least || ms > most) {
        context.addIssue({
          code: 'custom',
          message: ms < least ? `"${text}" is too short` : `"${text}" is too long: at most ${formatDuration(most)}`,
        });
      }
      return ms ?? 0;
    })
    .meta({ kind: 'duration (90s, 5m, 4h, 5d)' });

export const size = (fallback: string, least = 0) =>
  z
    .string({ error: (i) => `expected a size such as ${fallback}, got ${JSON.stringify(i.input)}` })
    .default(fallback)
    .transform((text, context) => {
      const bytes = parseSize(text);
      if (bytes === undefined) {
        context.addIssue({ code: 'custom', message: `"${text}" is not a size: write 512KB, 25MB or 1GB` });
      } else if (bytes < least) {
        context.addIssue({ code: 'custom', message: `"${text}" is too small: at least ${least / 1024}KB` });
      }
      return bytes ?? 0;
    })
    .meta({ kind: 'size (512KB, 25MB, 1GB)' });

/** A number per time, such as `50/s` or `10/15m`. */
export const rate = z
  .string({ error: (i) => `expected a rate such as 50/s, got ${JSON.stringify(i.input)}` })
  .transform((text, context): Rate => {
    const parsed = parseRate(text);
    if (parsed !== undefined) return parsed;
    context.addIssue({
      code: 'custom',
      message: `"${text}" is not a rate: write 50/s, 100/m, 10/15m, 1000/h or 5000/d, at least 1`,
    });
    return z.NEVER;
  })
  .meta({ kind: 'rate (50/s, 100/m, 10/15m, 1000/h, 5000/d)' });

export const port = z.number().int().min(0).max(65_535);

/** A node's name, the variable that has it, or that of the container: machines or containers that share a file differ in it. */
export const nodeName = z
  .union([z.string(), z.strictObject({ env: z.string().min(1) }), z.strictObject({ container: z.literal(true) })], {
    error: ({ input }) =>
      typeof input === 'number'
        ? `expected a name, got ${input}: put it in quotes`
        : 'expected a name, { env: NAME } or { container: true }',
  })
  .default('edge-1')
  .transform((given, context) => {
    const name = typeof given === 'string' ? given : 'env' in given ? process.env[given.env] : containerName();
    if (name !== undefined && /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/.test(name)) return name;
    const found = name === undefined ? 'nothing' : JSON.stringify(name);
    const variable = typeof given === 'string' ? undefined : 'env' in given ? given.env : 'HOSTNAME';
    const where = variable === undefined ? '' : ` in environment variable ${variable}`;
    context.addIssue({
      code: 'custom',
      message: `found ${found}${where}: a node name is made of letters, digits, - and _`,
    });
    return z.NEVER;
  });

export const domain = z.string().transform((text, context) => {
  const name = normalizeDomain(text);
  // A name that ends in a number is a mistyped address (RFC 1123 §2.1).
  if (
    /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name) &&
    !/(^|\.)\d+$/.test(name) &&
    name.length <= 253
  )
    return name;
  context.addIssue({ code: 'custom', message: `"${text}" is not a domain name` });
  return z.NEVER;
});

export const domainOrAny = z.union([z.literal('*'), domain], {
  error: (i) => `${JSON.stringify(i.input)} is not a domain name or "*"`,
});

/** A group of the section `groups`, in a list that `meta` says the kind of (`../groups.ts`). */
const group = z.string().refine((text) => /^group:[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text), { abort: true });

/** An entry of a list of domains: `*`, a domain, or `group:NAME`. */
export const listedDomain = z
  .union([z.literal('*'), group, domain], {
    error: (i) => `${JSON.stringify(i.input)} is not a domain name, group:NAME or "*"`,
  })
  .meta({ group: 'domains' });

/** A reverse-path in a list: `*`, a domain, or an address, with its domain normalized. */
export const senderOrAny = z.union(
  [
    z.literal('*'),
    domain,
    z
      .string()
      .refine((text) => localPartOf(text) !== '' && domain.safeParse(domainOf(text)).success)
      .transform(normalizeAddress),
  ],
  { error: (i) => `${JSON.stringify(i.input)} is not an address, a domain name or "*"` },
);

/** `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`: what `dns.setServers` takes. */
export const nameServer = z.string().refine(
  (text) => {
    const [, six, four, port = '53'] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
    const address = isIP(text) === 6 || isIP(six ?? '') === 6 || isIP(four ?? '') === 4;
    return address && Number(port) >= 1 && Number(port) <= 65_535;
  },
  { error: (i) => `${JSON.stringify(i.input)} is not an address, address:port or [IPv6 address]:port` },
);

/** An IP address or a network in CIDR form. */
export const network = z.string().refine((text) => parseNetwork(text) !== undefined, {
  error: (issue) => `"${String(issue.input)}" is not an IP address or a network such as 10.0.0.0/8`,
});

/** An entry of a list of senders or recipients: as `senderOrAny`, or `group:NAME` of domains. */
export const listedMailbox = z
  .union([group, senderOrAny], {
    error: (i) => `${JSON.stringify(i.input)} is not an address, a domain name, group:NAME or "*"`,
  })
  .meta({ group: 'domains' });

/** An entry of a list of networks: an IP address, a network, or `group:NAME` of such. */
export const listedNetwork = z
  .union([group, network], {
    error: (i) => `${JSON.stringify(i.input)} is not an IP address, a network such as 10.0.0.0/8 or group:NAME`,
  })
  .meta({ group: 'networks' });

/** An entry of a list of hosts: `*`, an address, a network, a host name with everything below it, or `group:NAME`. */
export const host = z
  .union([z.literal('*'), group, network, domain], {
    error: (i) => `${JSON.stringify(i.input)} is not *, an IP address, a network, a host name or group:NAME`,
  })
  .meta({ group: 'hosts' });

/** A secret: the text itself, or where to read it from. The loader reads it; services see a `Secret` that is there. */
export const secret = z
  .union([z.string().min(1), z.strictObject({ file: z.string().min(1) }), z.strictObject({ env: z.string().min(1) })], {
    error: 'expected the text itself, { file: … } or { env: … }',
  })
  .transform((source): Secret => (typeof source === 'string' ? new Secret(source) : new SecretReference(source)))
  // `sealpost config show` prints no text of an option that is marked so.
  .meta({ secret: true });

export const certificate = z.strictObject({
  certificate: z.string().describe('PEM file: the certificate, then its chain'),
  key: z.string().describe('PEM file: the private key'),
});

/** Where named encryption keys are read from. */
export const nekSource = z
  .union([z.string().min(1), z.strictObject({ env: z.string().min(1) })], {
    error: 'expected a file name or { env: NAME }',
  })
  .optional();
