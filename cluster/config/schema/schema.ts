import { z } from 'zod';
import { CertificateName } from '#shared/tls/stored-certificate.ts';
import { authenticationSection } from './authentication.ts';
import { authenticitySection } from './authenticity/section.ts';
import { checksSection } from './checks.ts';
import { directorySection } from './directory.ts';
import { domainEntry, zone } from './domains.ts';
import { filterEntry } from './filters/entry.ts';
import { groupsSection } from './groups.ts';
import { limitsSection, listenerEntry } from './listeners.ts';
import { deliverySection, queueSection } from './queue.ts';
import { ratesSection } from './rates.ts';
import { relaySection } from './relay.ts';
import { dsnSection } from './reports/dsn.ts';
import { rewriteSection } from './rewrite.ts';
import { routeEntry } from './routes.ts';
import { rulesSection } from './rules/entry.ts';
import { consoleSection } from './servers/console.ts';
import { metricsSection } from './servers/metrics.ts';
import { httpChallengeSection, orderedCertificate } from './tls/ordered.ts';
import { mtaStsSection, tlsRptSection } from './tls/published.ts';
import { certificate, domain, duration, nameServer, nekSource, nodeName, secret, TEN_YEARS_MS } from './values.ts';
import { webhookEntry } from './webhooks/entry.ts';

/**
 * The one schema of sealpost.yaml: type, default and explanation of every option. Keys are written as in the file; a
 * large section or entry has a file of its own. Unknown keys are errors. `.describe()` texts are what
 * `sealpost config schema` prints, and become docs/reference/configuration.md (`npm run docs`).
 *
 * Combinations that make no sense are checked in `../rules`, after every single value has passed.
 */

const node = z
  .strictObject({
    name: nodeName.describe(
      'name of the node, unique in the cluster, part of bus subjects: the name, { env: … }, or { container: true } for the name that Docker has for a container',
    ),
    hostname: domain.prefault('localhost').describe('name in the greeting, in EHLO and in Received'),
    data: z.string().default('./data').describe('folder of this node’s queue, keys, greylist and captured mail'),
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

export const ConfigSchema = z.strictObject({
  node,
  bus,
  listeners: z
    .array(listenerEntry)
    .prefault([{ name: 'mx', kind: 'relay', port: 25, tls: 'starttls' }])
    .describe('ports that accept mail'),
  tls: z
    .strictObject({
      certificate: certificate.shape.certificate.optional(),
      key: certificate.shape.key.optional(),
      nek: nekSource.describe(
        'named encryption keys, which wrap the private keys of the certificates that the cluster shares, one per line: a file, or { env: NAME }; for listeners and credential-stores',
      ),
      credential: CertificateName.optional().describe(
        'the shared certificate for clients that name no host, or one that no certificate is for; default: the one for node.hostname, else the only one',
      ),
      names: z
        .array(certificate.extend({ hosts: z.array(domain).min(1).describe('names that this certificate is for') }))
        .prefault([])
        .describe('other certificates, by the name that a client asks for (SNI)'),
    })
    .optional(),
  certificates: z
    .array(orderedCertificate)
    .prefault([])
    .describe('certificates that the cluster orders and renews by itself (ACME), for the listeners of all nodes'),
  'http-challenge': httpChallengeSection,
  'mta-sts': mtaStsSection,
  'tls-rpt': tlsRptSection,
  limits: limitsSection,
  groups: groupsSection,
  authentication: authenticationSection,
  relay: relaySection,
  checks: checksSection,
  authenticity: authenticitySection,
  filters: z
    .array(filterEntry)
    .prefault([])
    .describe('programs that look at whole messages on their way in, at the same time'),
  domains: z.array(domainEntry).prefault([]).describe('domains whose mail is received or signed'),
  directory: directorySection,
  rewrite: rewriteSection,
  routes: z
    .array(routeEntry)
    .prefault([{ to: '*', via: 'mx' }])
    .describe(
      'next hops: the most specific domain wins, then the most specific user, then the most specific sender; without a match, by MX',
    ),
  rules: rulesSection,
  queue: queueSection,
  dsn: dsnSection,
  delivery: deliverySection,
  rates: ratesSection,
  receipts: z
    .strictObject({ keep: duration('7d', 1, TEN_YEARS_MS).describe('how long the fate of a message can be looked up') })
    .prefault({}),
  credentials: z
    .strictObject({
      nek: nekSource.describe(
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
      servers: z
        .array(nameServer)
        .default([])
        .describe(
          'name servers that recurse, address or address:port; empty: those of the system, read again at each reload',
        ),
      timeout: duration('5s').describe('wait for an answer'),
      dnssec: z
        .boolean()
        .default(false)
        .describe(
          'whether these servers validate with DNSSEC and the way to them is safe: delivery by MX then follows DANE',
        ),
      zones: z.array(zone).prefault([]).describe('zones that records of keys are published in'),
    })
    .prefault({}),
  metrics: metricsSection,
  console: consoleSection,
  webhooks: z
    .array(webhookEntry)
    .prefault([])
    .describe('who is told, by HTTP, of what becomes of mail, keys and certificates, and of alarms'),
  audit: z
    .strictObject({
      keep: duration('400d', 86_400_000, TEN_YEARS_MS).describe(
        'how long the audit log says which changes people made (sealpost audit)',
      ),
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
export type ConsoleConfig = NonNullable<Config['console']>;
export type ProviderConfig = Config['authentication']['oauth'][number];
export type OrderedCertificate = Config['certificates'][number];
export type LdapConfig = NonNullable<Config['directory']['ldap']>;
export type ZoneConfig = DnsConfig['zones'][number];
