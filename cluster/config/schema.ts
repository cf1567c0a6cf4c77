import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { SecretReference } from '#cluster/config/secrets.ts';
import { normalizeDomain } from '#shared/address.ts';
import { Secret } from '#shared/secret.ts';
import { parseDuration, parseSize } from '#shared/units.ts';

/**
 * The one schema of sealpost.yaml: type, default and explanation of every option. Keys are written here as they stand
 * in the file. Unknown keys are errors. `.describe()` texts are what `sealpost config schema` prints.
 *
 * Combinations that make no sense are checked in `rules.ts`, after every value has passed here.
 */

const duration = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined) return ms;
      context.addIssue({ code: 'custom', message: `"${text}" is not a duration: write 90s, 5m, 4h or 5d` });
      return z.NEVER;
    });

const size = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const bytes = parseSize(text);
      if (bytes !== undefined) return bytes;
      context.addIssue({ code: 'custom', message: `"${text}" is not a size: write 512KB, 25MB or 1GB` });
      return z.NEVER;
    });

const port = z.number().int().min(0).max(65_535);

const domain = z.string().transform((text, context) => {
  const name = normalizeDomain(text);
  if (
    /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(name) &&
    name.length <= 253
  )
    return name;
  context.addIssue({ code: 'custom', message: `"${text}" is not a domain name` });
  return z.NEVER;
});

const domainOrAny = z.union([z.literal('*'), domain]);

/** An IP address or a network in CIDR form. */
const network = z.string().refine((text) => isIP(text) !== 0 || ipaddr.isValidCIDR(text), {
  error: (issue) => `"${String(issue.input)}" is not an IP address or a network such as 10.0.0.0/8`,
});

/** A host in a relay list: `*`, an address, a network, or a host name with everything below it. */
const host = z.union([z.literal('*'), network, domain], {
  error: (i) => `"${String(i.input)}" is not *, an IP address, a network or a host name`,
});

/** A secret: the text itself, or where to read it from. The loader reads it; services see a `Secret` that is there. */
const secret = z
  .union([z.string().min(1), z.strictObject({ file: z.string().min(1) }), z.strictObject({ env: z.string().min(1) })], {
    error: 'expected the text itself, { file: … } or { env: … }',
  })
  .transform((source): Secret => (typeof source === 'string' ? new Secret(source) : new SecretReference(source)));

const certificate = z.strictObject({
  certificate: z.string().describe('PEM file: the certificate, then its chain'),
  key: z.string().describe('PEM file: the private key'),
});

const node = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/, 'a node name is made of letters, digits, - and _')
      .default('edge-1')
      .describe('unique in the cluster; part of bus subjects'),
    hostname: domain.default('localhost').describe('name in the greeting, in EHLO and in Received'),
    data: z.string().default('./data').describe('folder of this node’s queue, keys and captured mail'),
  })
  .prefault({});

const bus = z
  .strictObject({
    servers: z
      .array(z.string().regex(/^(nats|tls):\/\/\S+$/, 'a server is nats://host:4222 or tls://host:4222'))
      .default([])
      .describe('NATS servers; empty: every service runs in one process'),
    user: z.string().optional(),
    password: secret.optional(),
    tls: z
      .strictObject({ ca: z.string().optional(), certificate: z.string().optional(), key: z.string().optional() })
      .optional(),
  })
  .prefault({});

const listener = z.strictObject({
  name: z.string().min(1).describe('name in logs, receipts and headers'),
  kind: z
    .enum(['relay', 'submission'])
    .describe('relay: mail between servers; submission: mail of users, who must authenticate'),
  address: z
    .string()
    .refine((a) => isIP(a) !== 0, 'not an IP address')
    .default('::')
    .describe('address to listen on; :: is every address, IPv4 too'),
  port: port.describe('0 picks a free port'),
  tls: z.enum(['none', 'starttls', 'starttls-required', 'implicit']).default('starttls'),
  auth: z
    .enum(['off', 'tls', 'always'])
    .optional()
    .describe('AUTH: never, under TLS only, or in clear text too; default off for relay, tls for submission'),
  proxy: z.array(network).default([]).describe('addresses that speak the PROXY protocol, version 1'),
  greeting: z
    .string()
    .regex(/^[\x20-\x7e]*$/, 'printable ASCII only')
    .default('')
    .describe('text behind the host name in the greeting'),
});

const limits = z
  .strictObject({
    sessions: z.number().int().min(1).default(1000).describe('sessions at once, per process; 421 beyond'),
    'sessions-per-client': z
      .number()
      .int()
      .min(1)
      .default(50)
      .describe('sessions at once from one address; 421 beyond'),
    errors: z.number().int().min(1).default(20).describe('refused commands in a session; 421 beyond'),
    recipients: z
      .number()
      .int()
      .min(100)
      .default(1000)
      .describe('recipients of one message; 452 beyond (RFC 5321 §4.5.3.1.8 asks for at least 100)'),
    'command-length': z.number().int().min(512).default(2048).describe('longest command line in bytes'),
    'message-size': size('50MB').describe('largest message'),
    'header-size': size('256KB').describe('largest header block'),
    hops: z.number().int().min(10).default(50).describe('Received fields in a message; more means a loop'),
    timeout: duration('5m').describe('longest silence of a client (RFC 5321 §4.5.3.2.7)'),
  })
  .prefault({});

const hostsAndDomains = z
  .strictObject({ hosts: z.array(host).default([]), domains: z.array(domainOrAny).default([]) })
  .prefault({});

const relay = z
  .strictObject({
    allow: hostsAndDomains.describe('hosts that may relay anywhere; domains that anyone may relay to'),
    deny: hostsAndDomains.describe('hosts that may never relay; domains that nobody may relay to'),
  })
  .prefault({});

const domainEntry = z.strictObject({
  name: domain,
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
});

const route = z.strictObject({
  to: domainOrAny.describe('recipient domain with everything below it, or *'),
  via: z.string().describe('mx | smtp://[user@]host[:port] | lmtp://host:port | maildir:<folder> | capture | discard'),
  password: secret.optional().describe('password for user@ in smtp://'),
  tls: z.enum(['opportunistic', 'required', 'off']).default('opportunistic'),
});

const queue = z
  .strictObject({
    copies: z.literal(1).default(1).describe('nodes that hold a message before it is accepted'),
    expire: duration('5d').describe('how long a message is tried'),
    retry: z.strictObject({ first: duration('5m'), max: duration('4h') }).prefault({}),
    'delay-notice': duration('4h').describe('when the sender hears that mail is late; 0s: never'),
    reserve: size('64MB').describe('free disk space below which new mail is refused with 452'),
    'active-limit': z
      .number()
      .int()
      .min(100)
      .default(20_000)
      .describe('messages that delivery works on at once; the rest waits on disk'),
  })
  .prefault({});

const delivery = z
  .strictObject({
    connections: z.number().int().min(1).default(20).describe('connections at once to one next hop'),
    'recipients-per-transaction': z.number().int().min(1).max(1000).default(100),
    timeout: z
      .strictObject({
        connect: duration('30s'),
        command: duration('5m'),
        data: duration('10m').describe('wait for the reply to the final dot (RFC 5321 §4.5.3.2.6)'),
      })
      .prefault({}),
    idle: duration('5s').describe('how long an unused connection stays open'),
  })
  .prefault({});

export const ConfigSchema = z.strictObject({
  node,
  bus,
  listeners: z
    .array(listener)
    .default([{ name: 'mx', kind: 'relay', address: '::', port: 25, tls: 'starttls', proxy: [], greeting: '' }]),
  tls: certificate
    .extend({
      names: z
        .array(certificate.extend({ hosts: z.array(domain).min(1) }))
        .default([])
        .describe('other certificates by the name that a client asks for (SNI)'),
    })
    .optional(),
  limits,
  relay,
  domains: z.array(domainEntry).default([]),
  directory: z
    .strictObject({ users: z.string().optional().describe('YAML file of users and aliases; sealpost users edits it') })
    .prefault({}),
  routes: z.array(route).default([{ to: '*', via: 'mx', tls: 'opportunistic' }]),
  queue,
  delivery,
  receipts: z
    .strictObject({ keep: duration('7d').describe('how long the fate of a message can be looked up') })
    .prefault({}),
  credentials: z
    .strictObject({
      nek: z
        .union([z.string().min(1), z.strictObject({ env: z.string().min(1) })])
        .optional()
        .describe('named encryption key: a file, or a variable of the environment'),
    })
    .prefault({}),
  dns: z
    .strictObject({
      servers: z.array(z.string()).default([]).describe('name servers, address or address:port; empty: the system’s'),
      timeout: duration('5s'),
    })
    .prefault({}),
  log: z
    .strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info') })
    .prefault({}),
});
export type Config = z.output<typeof ConfigSchema>;
export type ListenerConfig = Config['listeners'][number];
export type RouteConfig = Config['routes'][number];
export type DomainConfig = Config['domains'][number];
