import { isIP } from 'node:net';
import { z } from 'zod';
import { domainEntry, zone } from './domains.ts';
import { ratesSection } from './rates.ts';
import { routeEntry } from './routes.ts';
import {
  certificate,
  domain,
  domainOrAny,
  duration,
  host,
  nameServer,
  network,
  nodeName,
  port,
  secret,
  size,
  TEN_YEARS_MS,
} from './values.ts';

/**
 * The one schema of sealpost.yaml: type, default and explanation of every option. Keys are written as in the file;
 * `domains.ts` has the entries of domains and zones, `routes.ts` those of routes, `rates.ts` the limits. Unknown keys are
 * errors. `.describe()` texts are what `sealpost config schema` prints, and become docs/configuration.md (`npm run docs`).
 *
 * Combinations that make no sense are checked in `../rules`, after every single value has passed.
 */

const node = z
  .strictObject({
    name: nodeName.describe('name of the node, unique in the cluster, part of bus subjects: the name, or { env: … }'),
    hostname: domain.prefault('localhost').describe('name in the greeting, in EHLO and in Received'),
    data: z.string().default('./data').describe('folder of this node’s queue, keys and captured mail'),
  })
  .prefault({});

const bus = z
  .strictObject({
    servers: z
      .array(
        // No value in the message: a password may stand in front of the host.
        z.string().refine((url) => /^(nats|tls):\/\/[^\s@/]+$/.test(url), {
          error:
            'a server is nats://host:4222 or tls://host:4222; user and password stand in bus.user and bus.password',
        }),
      )
      .default([])
      .describe('NATS servers; empty: every service runs in one process'),
    replicas: z
      .union([z.literal(1), z.literal(3), z.literal(5)], { error: 'expected 1, 3 or 5' })
      .optional()
      .describe('NATS servers that hold the changes of keys; default: 3 where three servers are named, else 1'),
    user: z
      .union([z.string().min(1), z.strictObject({ env: z.string().min(1) })], {
        error: 'expected a name or { env: NAME }',
      })
      .optional()
      .describe('user at the NATS servers (sealpost cluster nats-config): the name, or { env: … }'),
    password: secret.optional().describe('password at the NATS servers: the text, { file: … } or { env: … }'),
    tls: z
      .strictObject({
        ca: z.string().optional().describe('PEM file: the authority that signed the certificates of the NATS servers'),
        certificate: z
          .string()
          .optional()
          .describe('PEM file: the certificate of this client, where the servers ask for one'),
        key: z.string().optional().describe('PEM file: its private key'),
      })
      .optional()
      .describe('TLS with the NATS servers'),
  })
  .prefault({});

const listener = z.strictObject({
  name: z.string().min(1).describe('name in logs, receipts and headers'),
  kind: z
    .enum(['relay', 'submission'])
    .describe('relay: mail between servers; submission: mail from users, who must authenticate'),
  address: z
    .string()
    .refine((a) => isIP(a) !== 0, 'not an IP address')
    .default('::')
    .describe('address to listen on; :: means every address, IPv4 too'),
  port: port.describe('0 picks a free port'),
  tls: z
    .enum(['none', 'starttls', 'starttls-required', 'implicit'])
    .default('starttls')
    .describe('no TLS; offered by STARTTLS; no mail without it; or TLS from the first byte'),
  auth: z
    .enum(['off', 'tls', 'always'])
    .optional()
    .describe('AUTH: never, under TLS only, or in clear text too; default off for relay, tls for submission'),
  proxy: z.array(network).default([]).describe('proxies that send the PROXY protocol, version 1'),
  greeting: z
    .string()
    .regex(/^[\x20-\x7e]*$/, 'printable ASCII only')
    .default('')
    .describe('text after the host name in the greeting'),
});

const limits = z
  .strictObject({
    sessions: z.number().int().min(1).default(1000).describe('concurrent connections per process; more get 421'),
    'sessions-per-client': z
      .number()
      .int()
      .min(1)
      .default(50)
      .describe('concurrent connections from one address (of IPv6: from one /64); more get 421'),
    errors: z.number().int().min(1).default(20).describe('refused commands in a session; more get 421'),
    recipients: z
      .number()
      .int()
      .min(100)
      .default(1000)
      .describe('recipients of one message; more get 452 (RFC 5321 §4.5.3.1.8 asks for at least 100)'),
    'command-length': z.number().int().min(512).default(2048).describe('longest command line in bytes'),
    'message-size': size('50MB', 64 * 1024).describe('largest message (RFC 5321 §4.5.3.1.7 asks for at least 64KB)'),
    'header-size': size('256KB', 1024).describe('largest header block'),
    hops: z.number().int().min(10).default(50).describe('Received fields in a message; more means a loop'),
    timeout: duration('5m').describe('longest silence of a client (RFC 5321 §4.5.3.2.7)'),
  })
  .prefault({});

const hostsAndDomains = z
  .strictObject({
    hosts: z.array(host).prefault([]).describe('IP addresses, networks, host names with everything below them, or *'),
    domains: z.array(domainOrAny).prefault([]).describe('domains with everything below them, or *'),
  })
  .prefault({});

const relay = z
  .strictObject({
    allow: hostsAndDomains.describe('hosts that may relay anywhere; domains that any host may relay to'),
    deny: hostsAndDomains.describe('hosts that may never relay; domains that no host may relay to'),
  })
  .prefault({});

const queue = z
  .strictObject({
    copies: z
      .union([z.literal(1), z.literal(2)], { error: 'expected 1 or 2' })
      .default(1)
      .describe('nodes that hold a message on disk before it is accepted; 2 needs a bus'),
    'without-copy': z
      .enum(['refuse', 'accept'])
      .default('refuse')
      .describe(
        'with copies: 2, when no other router takes the copy: answer 451, or accept with one copy and record that',
      ),
    'takeover-after': duration('60s', 2000, 86_400_000).describe(
      'silence of a node after which the holders of its copies deliver its mail',
    ),
    expire: duration('5d', 1, TEN_YEARS_MS).describe('how long a message is tried'),
    retry: z
      .strictObject({
        first: duration('5m', 1000).describe('wait after the first failed attempt; it doubles with each attempt'),
        max: duration('4h', 1000).describe('longest wait between two attempts'),
      })
      .prefault({}),
    'delay-notice': duration('4h', 0).describe('age at which the sender is told that mail is late; 0s: never'),
    reserve: size('64MB').describe('free disk space below which new mail is refused with 452'),
    'active-limit': z
      .number()
      .int()
      .min(100)
      .default(20_000)
      .describe('messages that delivery works on concurrently; the rest waits on disk'),
  })
  .prefault({});

const delivery = z
  .strictObject({
    connections: z.number().int().min(1).default(20).describe('concurrent connections to one next hop'),
    'recipients-per-transaction': z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(100)
      .describe('recipients of one message in one transaction (RFC 5321 §4.5.3.1.8)'),
    timeout: z
      .strictObject({
        connect: duration('30s').describe('wait for the connection'),
        command: duration('5m').describe('wait for the reply to a command (RFC 5321 §4.5.3.2)'),
        data: duration('10m').describe('wait for the reply to the final dot (RFC 5321 §4.5.3.2.6)'),
      })
      .prefault({}),
    idle: duration('5s').describe('how long an unused connection stays open'),
    'allow-local': z
      .array(network)
      .prefault([])
      .describe(
        'networks that MX records and address literals may lead to although they are loopback, link-local or this machine: for tests',
      ),
  })
  .prefault({});

export const ConfigSchema = z.strictObject({
  node,
  bus,
  listeners: z
    .array(listener)
    .prefault([{ name: 'mx', kind: 'relay', port: 25, tls: 'starttls' }])
    .describe('ports that accept mail'),
  tls: certificate
    .extend({
      names: z
        .array(certificate.extend({ hosts: z.array(domain).min(1).describe('names that this certificate is for') }))
        .prefault([])
        .describe('other certificates, by the name that a client asks for (SNI)'),
    })
    .optional(),
  limits,
  relay,
  domains: z.array(domainEntry).prefault([]).describe('domains whose mail is received or signed'),
  directory: z
    .strictObject({
      users: z.string().optional().describe('YAML file of users and aliases, which sealpost users edits'),
    })
    .prefault({}),
  routes: z
    .array(routeEntry)
    .prefault([{ to: '*', via: 'mx' }])
    .describe('next hops: the most specific domain wins; without a match, by MX'),
  queue,
  delivery,
  rates: ratesSection,
  receipts: z
    .strictObject({ keep: duration('7d', 1, TEN_YEARS_MS).describe('how long the fate of a message can be looked up') })
    .prefault({}),
  credentials: z
    .strictObject({
      nek: z
        .union([z.string().min(1), z.strictObject({ env: z.string().min(1) })], {
          error: 'expected a file name or { env: NAME }',
        })
        .optional()
        .describe(
          'named encryption keys, which wrap the DKIM keys, one per line: a file, or { env: NAME } for a variable',
        ),
      'nek-age': duration('365d', 1, TEN_YEARS_MS).describe(
        'age of a named encryption key at which doctor asks for a new one',
      ),
    })
    .prefault({}),
  keys: z
    .strictObject({
      ttl: duration('1h', 1000, TEN_YEARS_MS).describe('time to live of published records'),
      'retire-after': duration('0s', 0, TEN_YEARS_MS).describe(
        'how long a replaced key stays in DNS; 0s: queue.expire plus keys.ttl',
      ),
      'keep-revoked': duration('30d', 0, TEN_YEARS_MS).describe('how long an empty record says that a key is revoked'),
    })
    .prefault({}),
  dns: z
    .strictObject({
      servers: z.array(nameServer).default([]).describe('name servers, address or address:port; empty: the system’s'),
      timeout: duration('5s').describe('wait for an answer'),
      zones: z.array(zone).prefault([]).describe('zones that records of keys are published in'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .describe('least severe events that are logged'),
    })
    .prefault({}),
});
export type Config = z.output<typeof ConfigSchema>;
export type ListenerConfig = Config['listeners'][number];
export type RouteConfig = Config['routes'][number];
export type DomainConfig = Config['domains'][number];
export type RatesConfig = Config['rates'];
export type DnsConfig = Config['dns'];
export type ZoneConfig = DnsConfig['zones'][number];
