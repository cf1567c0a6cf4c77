import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type CertificatePair, createAuthority, issueCertificate } from '#cluster/certificate.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { BUS_USERS, type BusUser } from './bus-permissions.ts';
import { ClusterFiles } from './cluster-files.ts';
import { natsConfig } from './nats-config.ts';
import { natsServerConfig, OWN_SETTINGS, OWN_SETTINGS_TEXT } from './nats-server-config.ts';

/**
 * What the processes of a cluster must share or keep from each other, in one folder for each that needs it:
 *
 *   authority/         bus.pem, bus-key.pem               sign certificates, for this command alone: of NATS servers
 *                      routes.pem, routes-key.pem         for clients, of NATS servers for each other,
 *                      listeners.pem, listeners-key.pem   and of listeners
 *                      routes-password                    of the NATS servers among each other
 *   nats/              nats.conf, local.conf, users.conf, server.pem, server-key.pem, route.pem, route-key.pem, routes-ca.pem
 *   nek/               nek.key                            for signers, policy and credential-stores
 *   tls-nek/           tls.nek                            for listeners and credential-stores, and to import certificates
 *   <service>/         bus-password, ca.pem               for the service; `operator` is for commands, `streams` for
 *                                                         `sealpost cluster streams` alone
 *   listener/          and certificate.pem, certificate-key.pem; those of console/ are for its page
 *   policy/            and users.yaml
 *
 * Where every host is a whole node, `node/` has all of what the services have, beside `operator/` and `streams/`.
 *
 * Three authorities, because a NATS server hears and says everything on the bus: whoever is taken for one by the others
 * (routes) or by clients (bus) has all passwords. The certificate of the listeners, which faces the world, is signed by
 * an authority that neither of them trusts.
 *
 * What is there stays, so that it can run before every start, and so that an administrator can put files of his own in
 * place; local.conf, which nats.conf includes, is his alone. It writes again only what follows from the rest: nats.conf
 * and users.conf, the files of authorities that are trusted, and certificates that an authority signed, when they are for
 * other names or near their end.
 *
 * A folder that a version before made has one authority for all, authority/authority.pem. It is left in three steps, each
 * of which must be in use at all servers before the next one; at any moment each server trusts what its peers show.
 *
 *   trust     (authority.pem is there, nats/route.pem is not) Both authorities are trusted. NATS servers show the
 *             certificate that they have, and give the routes' password, which nobody asks for. Users may also do
 *             what processes of the version before need.
 *   present   (both are there) NATS servers show certificates of the new authorities and ask for the password.
 *   done      (authority.pem is gone, with its key) Only the new authorities are trusted, and users may do no more than
 *             they need.
 *
 * A run stays in its step, whatever is missing is made again; `advance` takes the next one.
 */
export type MigrationStep = 'trust' | 'present' | 'done';

const YEAR = 365;
const DAY_MS = 86_400_000;
/** How long certificates hold, in days; the processes that use one must be restarted to see the next. */
const VALID = { authority: 30 * YEAR, peer: 10 * YEAR, left: YEAR };
/** The authority that signed everything in versions before. */
const FORMER_SUBJECT = 'CN=Sealpost cluster authority';
const FORMER = ['authority/authority.pem', 'authority/authority-key.pem'] as const;
const ROUTE = ['nats/route.pem', 'nats/route-key.pem'] as const;

export type ClusterHosts = {
  /** Names or addresses of the NATS servers for clients, and for each other. */
  nats: readonly string[];
  routes: readonly string[];
  /** Names that clients know the listeners by. */
  listeners: readonly string[];
  /** Whether every service is a process of its own, or each host one process with all of them. */
  processes: 'services' | 'nodes';
  /** Make another NEK where that of a cluster that was made before is missing: the keys that it wrapped are lost. */
  newNek?: boolean;
  /** Take the next step of the migration, where there is one. */
  advance?: boolean;
};

export type InitResult = { written: string[]; removed: string[]; step: MigrationStep };

/**
 * Make what is missing below `folder`; resolves to the files that were written. Fails with `init-failed` where a file
 * cannot be read or written, with `nek-lost`, and with `invalid-password` or `invalid-certificate` when one is not what
 * it should be.
 */
export async function initCluster(folder: string, hosts: ClusterHosts): Promise<InitResult> {
  const files = new ClusterFiles(folder);
  try {
    const step = await fill(files, hosts);
    return { written: files.written, removed: files.removed, step };
  } catch (error) {
    if (error instanceof SealpostError) throw error;
    throw new SealpostError('init-failed', `cannot make the files of a cluster in ${folder}: ${errorText(error)}`);
  }
}

async function fill(files: ClusterFiles, hosts: ClusterHosts): Promise<MigrationStep> {
  const { nats, listeners, processes, newNek = false } = hosts;
  const whole = processes === 'nodes';
  const folderOf = (service: 'listener' | 'policy'): string => (whole ? 'node' : service);
  if (!newNek) await requireNek(files);
  await files.make('nek/nek.key', () => generateNek('cluster'));
  await files.make('tls-nek/tls.nek', () => generateNek('tls'));
  const former = await files.readPair(...FORMER);
  const step = await stepOf(files, former, hosts.advance === true);
  const bus = await authority(files, 'bus');
  const outside = await authority(files, 'listeners');
  const listener = `${folderOf('listener')}/certificate`;
  await files.pair(`${listener}.pem`, `${listener}-key.pem`, signed(outside, listeners, 'server'));
  // Of a whole node the console shows that of its listeners.
  if (!whole) {
    const names = [...new Set([...listeners, 'localhost', '127.0.0.1'])];
    await files.pair('console/certificate.pem', 'console/certificate-key.pem', signed(outside, names, 'server'));
  }
  await files.make(`${folderOf('policy')}/users.yaml`, () => 'users: []\n');

  const trusted = step === 'done' ? undefined : former?.certificate;
  const passwords = new Map<BusUser, string>();
  for (const user of BUS_USERS) {
    if (whole ? !['node', 'operator', 'streams'].includes(user) : user === 'node') continue;
    passwords.set(user, await files.password(`${user}/bus-password`));
    await files.put(`${user}/ca.pem`, bus.certificate + (trusted ?? ''));
  }
  await files.put('nats/users.conf', natsConfig({ passwords, upgrading: step !== 'done' }));
  const server =
    step === 'trust' && former !== undefined
      ? signed(former, [...new Set([...nats, ...hosts.routes])], 'peer')
      : signed(bus, nats, 'server');
  await files.pair('nats/server.pem', 'nats/server-key.pem', server);
  await fillRoutes(files, hosts, { step, trusted });
  if (step === 'done') for (const name of ['nats/ca.pem', ...FORMER.toReversed()]) await files.remove(name);
  return step;
}

async function stepOf(
  files: ClusterFiles,
  former: CertificatePair | undefined,
  advance: boolean,
): Promise<MigrationStep> {
  if (former === undefined) return 'done';
  const presents = await files.has(ROUTE[0]);
  if (advance) return presents ? 'done' : 'present';
  return presents ? 'present' : 'trust';
}

type Step = { step: MigrationStep; trusted: string | undefined };

/** What NATS servers have for each other. */
async function fillRoutes(files: ClusterFiles, { nats, routes }: ClusterHosts, { step, trusted }: Step): Promise<void> {
  const peers = await authority(files, 'routes');
  const password = await files.password('authority/routes-password');
  const isFirst = step === 'trust';
  await files.put('nats/routes-ca.pem', peers.certificate + (trusted ?? ''));
  if (!isFirst) await files.pair(...ROUTE, signed(peers, routes, 'peer'));
  const config = natsServerConfig({
    // A server that is still as it was has no more than the name that clients know.
    routes: isFirst ? [...new Set([...routes, ...nats])] : routes,
    password,
    certificate: isFirst ? ['server.pem', 'server-key.pem'] : ['route.pem', 'route-key.pem'],
    requirePassword: !isFirst,
  });
  // nats.conf includes it, and nats-server starts with no file missing.
  await files.make(`nats/${OWN_SETTINGS}`, () => OWN_SETTINGS_TEXT);
  await files.put('nats/nats.conf', config);
}

function authority(files: ClusterFiles, name: 'bus' | 'routes' | 'listeners'): Promise<CertificatePair> {
  return files.pair(`authority/${name}.pem`, `authority/${name}-key.pem`, {
    make: () => createAuthority(`Sealpost ${name} authority`, VALID.authority),
    outdated: () => false,
  });
}

/** A certificate of `authority` for `hosts`. */
function signed(authority: CertificatePair, hosts: readonly string[], role: 'server' | 'peer') {
  const names = { dns: namesOf(hosts), ip: addressesOf(hosts) };
  return {
    make: () => issueCertificate(authority, names, { role, days: VALID.peer }),
    outdated: (certificate: X509Certificate) => isOutdated(certificate, authority, hosts),
  };
}

/**
 * Fails with `nek-lost` where a cluster was made before and has no NEK any more. Another one in its place would look like
 * a cluster that is well, and no key of it could sign.
 */
async function requireNek(files: ClusterFiles): Promise<void> {
  const made = (await files.has('authority/bus.pem')) || (await files.has(FORMER[0]));
  if (!made || (await files.has('nek/nek.key'))) return;
  throw new SealpostError(
    'nek-lost',
    `${files.path('nek/nek.key')} is missing, but this cluster was made before: its DKIM keys are wrapped by that NEK. ` +
      'Put it back from your backup. If it is lost for good, its keys are too: run this with --new-nek, then delete the ' +
      'keys that "sealpost keys list" shows, and create new ones',
  );
}

const namesOf = (hosts: readonly string[]): string[] => hosts.filter((host) => isIP(host) === 0);
const addressesOf = (hosts: readonly string[]): string[] => hosts.filter((host) => isIP(host) !== 0);

/** Whether a certificate must be renewed. One of another authority is left alone. */
function isOutdated(certificate: X509Certificate, authority: CertificatePair, hosts: readonly string[]): boolean {
  const signer = new X509Certificate(authority.certificate);
  if (certificate.issuer !== signer.subject) return certificate.issuer === FORMER_SUBJECT;
  return (
    !certificate.verify(signer.publicKey) ||
    certificate.validToDate.getTime() < Date.now() + VALID.left * DAY_MS ||
    namesOf(hosts).some((name) => certificate.checkHost(name) === undefined) ||
    addressesOf(hosts).some((address) => certificate.checkIP(address) === undefined)
  );
}
