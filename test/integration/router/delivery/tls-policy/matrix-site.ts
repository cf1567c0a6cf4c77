import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { tlsa } from '#test/integration/router/delivery/dane/dane-site.ts';
import { ValidatingResolver } from '#test/kit/dns/validating-resolver.ts';
import { SealpostNode } from '#test/kit/nodes/node.ts';
import { Dialog } from '#test/kit/smtp/dialog.ts';
import { type SinkOptions, type SinkTls, SmtpSink } from '#test/kit/smtp/smtp-sink.ts';
import { tempDir } from '#test/kit/temp.ts';
import { type Issued, issue } from '#test/kit/tls/issue.ts';

/**
 * Destinations of every kind, at port 25 of 127.0.7.x, and a node that sends to them. n.test is not signed, d.test is, and its
 * child.d.test is not and its parent says so; unbound validates. Policies of MTA-STS are at 127.0.7.200:443.
 *
 * A host has its name in both zones: known.n.test and known.d.test are one machine.
 */

const DAY_MS = 86_400_000;
const NONE = 'DA'.repeat(32);
/** The digest in the record that is changed after the zone was signed. */
const CHANGED = 'AB'.repeat(32);
const STS_ADDRESS = '127.0.7.200';

/** What of a handshake a host refuses late, with TLS 1.3. */
const late = (action: string): SinkOptions['script'] => {
  return ({ verb, session }) => (verb === 'EHLO' && session.tls !== undefined ? action : undefined);
};
const atStartTls =
  (action: string): SinkOptions['script'] =>
  ({ verb }) =>
    verb === 'STARTTLS' ? action : undefined;

/** Whether the host `fading` offers TLS. */
export const FADING = { offers: true };
const fading: SinkOptions['script'] = ({ verb }) =>
  verb === 'EHLO' && !FADING.offers ? '250-sink.test\r\n250 PIPELINING' : undefined;

type Certificates = Awaited<ReturnType<typeof issueAll>>;

async function issueAll() {
  const root = await issue('Test Root', { ca: true });
  const middle = await issue('Test Middle', { ca: true, by: root });
  const stranger = await issue('Strange Root', { ca: true });
  const both = (host: string) => [`${host}.n.test`, `${host}.d.test`];
  const of = (host: string, kind: Parameters<typeof issue>[1] = {}) =>
    issue(host, { by: root, names: both(host), ...kind });
  return {
    ...{ root, middle },
    self: await issue('self', { names: both('self') }),
    expired: await of('expired', { from: Date.now() - 20 * DAY_MS, until: Date.now() - DAY_MS }),
    early: await of('early', { from: Date.now() + DAY_MS }),
    misnamed: await of('misnamed', { names: ['elsewhere.test', 'misnamed-ta.d.test'] }),
    stranger: await of('stranger', { by: stranger }),
    chained: await of('chained', { by: middle }),
    nochain: await of('nochain', { by: middle }),
    wildcard: await of('wildcard', { names: ['*.n.test'] }),
    weak: await of('weak', { rsa: 1024 }),
    policies: await of('policies', { names: POLICY_DOMAINS.map((domain) => `mta-sts.${domain}.n.test`) }),
    of,
  };
}

/** What each host does, in the order of their addresses, from 127.0.7.1. */
async function hostOptions(issued: Certificates): Promise<[name: string, options: SinkOptions | 'dead'][]> {
  const named = async (host: string, more: Partial<SinkTls> = {}): Promise<SinkTls> => ({
    ...pair(await issued.of(host, more.maxVersion === 'TLSv1.1' || more.maxVersion === 'TLSv1' ? { rsa: 2048 } : {})),
    ...more,
  });
  const old = (maxVersion: 'TLSv1' | 'TLSv1.1') =>
    ({ minVersion: 'TLSv1', maxVersion, ciphers: 'ALL@SECLEVEL=0' }) as const;
  return [
    ['plain', {}],
    ['stripped', { extensions: ['PIPELINING', 'XXXXXXXA'] }],
    ['known', { tls: await named('known') }],
    ['self', { tls: pair(issued.self) }],
    ['expired', { tls: pair(issued.expired) }],
    ['early', { tls: pair(issued.early) }],
    ['misnamed', { tls: pair(issued.misnamed, issued.root) }],
    ['stranger', { tls: pair(issued.stranger) }],
    ['chained', { tls: pair(issued.chained, issued.middle) }],
    ['nochain', { tls: pair(issued.nochain) }],
    ['wildcard', { tls: pair(issued.wildcard) }],
    ['weak', { tls: { ...pair(issued.weak), ciphers: 'ALL@SECLEVEL=0' } }],
    ['tls10', { tls: await named('tls10', old('TLSv1')) }],
    ['tls11', { tls: await named('tls11', old('TLSv1.1')) }],
    ['tls12', { tls: await named('tls12', { maxVersion: 'TLSv1.2' }) }],
    ['tls13', { tls: await named('tls13', { minVersion: 'TLSv1.3' }) }],
    ['picky', { tls: await named('picky', { maxVersion: 'TLSv1.2', intolerant: true }) }],
    ['reset', { tls: 'reset' }],
    ['rubbish', { tls: 'fail' }],
    ['silent', { tls: 'silent' }],
    ['refuse454', { tls: await named('refuse454'), script: atStartTls('454 4.7.0 no key now') }],
    ['refuse554', { tls: await named('refuse554'), script: atStartTls('554 5.7.0 no') }],
    ['closes', { tls: await named('closes'), script: atStartTls('close') }],
    ['late454', { tls: await named('late454'), script: late('454 4.7.0 no TLS now') }],
    ['lateclose', { tls: await named('lateclose'), script: late('close') }],
    ['busy', { tls: await named('busy'), script: late('421 4.3.2 down') }],
    ['injected', { tls: await named('injected'), script: atStartTls('220 go\r\n250 injected') }],
    ['dead', 'dead'],
    ['fading', { tls: await named('fading'), script: fading }],
  ];
}

function pair({ certificate, key }: Issued, ...chain: Issued[]): SinkTls {
  return { certificate: [certificate, ...chain.map((one) => one.certificate)].join('\n'), key };
}

/** Domains with a policy, in n.test: what is served for them. `undefined`: 404. */
export const POLICIES: Record<string, { mode: string; mx: string[] } | { redirect: string } | undefined> = {
  'sts-good': { mode: 'enforce', mx: ['known.n.test'] },
  'sts-wild': { mode: 'enforce', mx: ['*.n.test'] },
  'sts-self': { mode: 'enforce', mx: ['self.n.test'] },
  'sts-expired': { mode: 'enforce', mx: ['expired.n.test'] },
  'sts-misnamed': { mode: 'enforce', mx: ['misnamed.n.test'] },
  'sts-plain': { mode: 'enforce', mx: ['plain.n.test'] },
  'sts-picky': { mode: 'enforce', mx: ['picky.n.test'] },
  'sts-rubbish': { mode: 'enforce', mx: ['rubbish.n.test'] },
  'sts-other': { mode: 'enforce', mx: ['somewhere.n.test'] },
  'sts-second': { mode: 'enforce', mx: ['known.n.test'] },
  'sts-dead': { mode: 'enforce', mx: ['dead.n.test', 'known.n.test'] },
  'try-self': { mode: 'testing', mx: ['self.n.test'] },
  'try-plain': { mode: 'testing', mx: ['plain.n.test'] },
  'try-other': { mode: 'testing', mx: ['somewhere.n.test'] },
  'sts-none': { mode: 'none', mx: [] },
  'sts-missing': undefined,
  'sts-redirect': { redirect: 'https://mta-sts.sts-self.n.test/.well-known/mta-sts.txt' },
};
const POLICY_DOMAINS = Object.keys(POLICIES);

/** Domains of n.test: their mail exchangers, best first. */
const PLAIN_DOMAINS: Record<string, string[]> = {
  ...{ 'dead-known': ['dead', 'known'], 'dead-plain': ['dead', 'plain'], 'rubbish-known': ['rubbish', 'known'] },
  ...{ 'plain-known': ['plain', 'known'], 'rubbish-plain': ['rubbish', 'plain'], 'all-dead': ['dead'] },
  ...{ 'sts-good': ['known'], 'sts-wild': ['wildcard'], 'sts-self': ['self'], 'sts-expired': ['expired'] },
  ...{ 'sts-misnamed': ['misnamed'], 'sts-plain': ['plain'], 'sts-picky': ['picky'], 'sts-rubbish': ['rubbish'] },
  ...{ 'sts-other': ['known'], 'sts-second': ['self', 'known'], 'sts-dead': ['dead', 'known'] },
  ...{ 'try-self': ['self'], 'try-plain': ['plain'], 'try-other': ['known'], 'sts-none': ['self'] },
  ...{ 'sts-missing': ['self'], 'sts-redirect': ['self'] },
};

/** Routes that say more than `opportunistic`, by the domain of n.test: how, and the mail exchangers. */
const ROUTES: Record<string, [tls: string, hosts: string[]]> = {
  'must-plain': ['required', ['plain']],
  'must-self': ['required', ['self']],
  'must-rubbish': ['required', ['rubbish']],
  'must-second': ['required', ['plain', 'known']],
  'must-tls10': ['required', ['tls10']],
  'must-picky': ['required', ['picky']],
  'sure-known': ['verified', ['known']],
  'sure-self': ['verified', ['self']],
  'sure-expired': ['verified', ['expired']],
  'sure-misnamed': ['verified', ['misnamed']],
  'sure-nochain': ['verified', ['nochain']],
  'sure-plain': ['verified', ['plain']],
  'sure-second': ['verified', ['misnamed', 'known']],
  'never-known': ['off', ['known']],
};

function plainZone(hosts: ReadonlyMap<string, string>): string {
  const mx = (name: string, list: readonly string[]) => list.map((host, i) => `${name} MX ${10 * (i + 1)} ${host}`);
  const routes = Object.entries(ROUTES).flatMap(([name, [, list]]) => mx(name, list));
  const single = [...hosts.keys()].map((host) => `to-${host} MX 10 ${host}`);
  const policies = POLICY_DOMAINS.flatMap((name) => [
    `_mta-sts.${name} TXT "v=STSv1; id=1;"`,
    `mta-sts.${name} A ${STS_ADDRESS}`,
  ]);
  const addresses = [...hosts].map(([name, address]) => `${name} A ${address}`);
  return [
    ...addresses,
    ...single,
    ...routes,
    ...Object.entries(PLAIN_DOMAINS).flatMap(([n, l]) => mx(n, l)),
    ...policies,
  ].join('\n');
}

function signedZone(
  hosts: ReadonlyMap<string, string>,
  known: string,
  { root, self, expired, misnamed }: Certificates,
): string {
  const at = (host: string) => hosts.get(host) ?? '';
  const host = (name: string, machine: string, record: string) =>
    `${name} A ${at(machine)}\n_25._tcp.${name} ${record}\nto-${name} MX 10 ${name}`;
  return [
    host('known', 'known', tlsa(known, { usage: 3 })),
    host('self', 'self', tlsa(self.certificate, { usage: 3, selector: 0, matching: 2 })),
    host('expired', 'expired', tlsa(expired.certificate, { usage: 3 })),
    host('ta', 'misnamed', tlsa(root.certificate, { usage: 2 })),
    host('wrong', 'known', `TLSA 3 1 1 ${NONE}`),
    host('plain', 'plain', `TLSA 3 1 1 ${NONE}`),
    host('rubbish', 'rubbish', `TLSA 3 1 1 ${NONE}`),
    host('bogus', 'known', `TLSA 3 1 1 ${CHANGED}`),
    host('unusable', 'self', `TLSA 1 1 1 ${NONE}`),
    host('unusable-plain', 'plain', `TLSA 0 1 1 ${NONE}`),
    host('excepted', 'self', `TLSA 3 1 1 ${NONE}`),
    host('dead', 'dead', `TLSA 3 1 1 ${NONE}`),
    `without A ${at('self')}`,
    'to-without MX 10 without',
    'alias CNAME known',
    'to-alias MX 10 alias',
    'misnamed-ta MX 10 ta',
    `second MX 10 wrong\n MX 20 known`,
    `bogus-second MX 10 bogus\n MX 20 known`,
    `dead-second MX 10 dead\n MX 20 known`,
    tlsaRollover(known),
    'child NS ns.nameserver.test.',
    `_mta-sts.both TXT "v=STSv1; id=1;"\nmta-sts.both A ${STS_ADDRESS}\nboth MX 10 wrong`,
    misnamed.name === '' ? '' : 'to-child MX 10 host.child',
  ].join('\n');
}

/** Two records, of which the second one is that of the next certificate. */
function tlsaRollover(known: string): string {
  return `rollover CNAME rolled\nrolled A 127.0.7.3\n_25._tcp.rolled TLSA 3 1 1 ${NONE}\n_25._tcp.rolled ${tlsa(known, { usage: 3 })}\nto-rollover MX 10 rolled`;
}

/** The configuration of the node. */
function configOf(server: string): string {
  const routes = Object.entries(ROUTES).map(([name, [tls]]) => `  - { to: ${name}.n.test, via: mx, tls: ${tls} }`);
  return `
dns: { servers: ["${server}"], dnssec: true, timeout: 5s }
delivery:
  allow-local: [127.0.0.0/8]
  timeout: { connect: 5s, command: 5s, data: 5s }
  idle: 1s
  dane: { except: [{ domain: to-excepted.d.test, until: ${new Date(Date.now() + DAY_MS).toISOString().slice(0, 10)} }] }
queue: { retry: { first: 1h } }
routes:
${routes.join('\n')}
  - { to: "*", via: mx }
`;
}

export type MatrixSite = {
  node: SealpostNode;
  sinks: ReadonlyMap<string, SmtpSink>;
  dispose: () => Promise<void>;
};

export async function startMatrixSite(): Promise<MatrixSite> {
  const stack = new AsyncDisposableStack();
  const issued = await issueAll();
  const options = await hostOptions(issued);
  const hosts = new Map(options.map(([name], i) => [name, `127.0.7.${i + 1}`]));
  const sinks = new Map<string, SmtpSink>();
  for (const [name, one] of options) {
    if (one !== 'dead')
      sinks.set(name, stack.use(await SmtpSink.start({ host: hosts.get(name) ?? '', port: 25, ...one })));
  }
  const known = sinks.get('known')?.options.tls as SinkTls;
  const resolver = stack.use(
    await ValidatingResolver.start('unbound', [
      { name: 'n.test', records: plainZone(hosts), signed: false },
      {
        ...{ name: 'd.test', signed: true, records: signedZone(hosts, known.certificate, issued) },
        changed: (text) => text.replace(CHANGED.slice(0, 16), 'CD'.repeat(8)),
      },
      {
        name: 'child.d.test',
        signed: false,
        records: `host A 127.0.7.4\n_25._tcp.host TLSA 3 1 1 ${NONE}\n@ MX 10 host`,
      },
    ]),
  );
  stack.use(await servePolicies(issued.policies));
  const dir = stack.use(await tempDir('matrix'));
  const authorities = join(dir.path, 'root.pem');
  await writeFile(authorities, issued.root.certificate);
  const environment = { NODE_EXTRA_CA_CERTS: authorities };
  const node = stack.use(await SealpostNode.create({ environment, config: configOf(resolver.server) }));
  await node.start();
  return { node, sinks, dispose: () => stack.disposeAsync() };
}

async function servePolicies({ certificate, key }: Issued): Promise<AsyncDisposable> {
  const server: Server = createServer({ cert: certificate, key }, ({ headers, url }, response) => {
    const domain = /^mta-sts\.(.*)\.n\.test$/.exec(headers.host ?? '')?.[1] ?? '';
    const policy = POLICIES[domain];
    if (policy === undefined || url !== '/.well-known/mta-sts.txt') response.writeHead(404).end();
    else if ('redirect' in policy) response.writeHead(302, { location: policy.redirect }).end();
    else {
      const lines = ['version: STSv1', `mode: ${policy.mode}`, ...policy.mx.map((mx) => `mx: ${mx}`), 'max_age: 86400'];
      response.writeHead(200, { 'content-type': 'text/plain' }).end(lines.join('\r\n'));
    }
  });
  server.listen(443, STS_ADDRESS);
  await once(server, 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Send a message to one recipient in each domain; resolves to their queue ids, by domain. */
export async function submit({ node }: MatrixSite, domains: readonly string[]): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  await using client = await Dialog.connect(node.port);
  await client.read();
  await client.command('EHLO client.test');
  for (const domain of domains) {
    await client.command('MAIL FROM:<a@sender.test>');
    await client.command(`RCPT TO:<b@${domain}>`);
    await client.command('DATA');
    const { text } = await client.command(`From: a@sender.test\r\nSubject: ${domain}\r\n\r\nA line.\r\n.`);
    ids.set(domain, /Queued as (\S+)/.exec(text)?.[1] ?? text);
  }
  return ids;
}
