import { X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { type CertificatePair, createAuthority, issueCertificate } from '#cluster/certificate.ts';
import { unreadable } from '#cluster/config/secrets.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import { prepareFile } from '#shared/files/replace.ts';
import { readPassword } from './bus-password.ts';
import { BUS_USERS, type BusUser } from './bus-permissions.ts';
import { natsConfig, SERVER_PINGS } from './nats-config.ts';

/**
 * What the processes of a cluster must share or keep from each other, in one folder for each that needs it:
 *
 *   authority/         authority.pem, authority-key.pem   signs the certificates below; for this command alone
 *   nats/              nats.conf, users.conf, server.pem, server-key.pem, ca.pem
 *   nek/               nek.key                            for signers and credential-stores
 *   <service>/         bus-password, ca.pem               for the service; `operator` is for commands, `streams` for
 *                                                         `sealpost cluster streams` alone
 *   listener/          and certificate.pem, certificate-key.pem
 *   policy/            and users.yaml
 *
 * Where every host is a whole node, `node/` has all of what the services have, beside `operator/` and `streams/`.
 *
 * What is there stays, so that it can run before every start, and so that an administrator can put files of his own in
 * place. It writes again only what follows from the rest: nats.conf and users.conf, ca.pem, and certificates that
 * the authority signed, when they are for other names or near their end.
 */

const AUTHORITY_NAME = 'Sealpost cluster authority';
const YEAR = 365;
const DAY_MS = 86_400_000;
/** How long certificates hold, in days; the processes that use one must be restarted to see the next. */
const VALID = { authority: 30 * YEAR, peer: 10 * YEAR, left: YEAR };

export type ClusterHosts = {
  /** Names or addresses of the NATS servers. */
  nats: readonly string[];
  /** Names that clients know the listeners by. */
  listeners: readonly string[];
  /** Whether every service is a process of its own, or each host one process with all of them. */
  processes: 'services' | 'nodes';
  /** Make another NEK where that of a cluster that was made before is missing: the keys that it wrapped are lost. */
  newNek?: boolean;
};

/**
 * Make what is missing below `folder`; resolves to the files that were written. Fails with `init-failed` where a file
 * cannot be read or written, with `nek-lost`, and with `invalid-password` or `invalid-certificate` when one is not what it should be.
 */
export async function initCluster(folder: string, hosts: ClusterHosts): Promise<string[]> {
  const files = new Files(folder);
  try {
    await fill(files, hosts);
  } catch (error) {
    if (error instanceof SealpostError) throw error;
    throw new SealpostError('init-failed', `cannot make the files of a cluster in ${folder}: ${errorText(error)}`);
  }
  return files.written;
}

async function fill(files: Files, { nats, listeners, processes, newNek = false }: ClusterHosts): Promise<void> {
  const whole = processes === 'nodes';
  const users = BUS_USERS.filter((user) => (whole ? ['node', 'operator', 'streams'].includes(user) : user !== 'node'));
  const folderOf = (service: 'listener' | 'policy'): string => (whole ? 'node' : service);
  if (!newNek) await requireNek(files);
  const authority = await files.pair('authority/authority.pem', 'authority/authority-key.pem', {
    make: () => createAuthority(AUTHORITY_NAME, VALID.authority),
    outdated: () => false,
  });
  const signed = (names: readonly string[]) => ({
    make: () => issueCertificate(authority, { dns: namesOf(names), ip: addressesOf(names) }, VALID.peer),
    outdated: (certificate: X509Certificate) => isOutdated(certificate, authority, names),
  });
  await files.pair('nats/server.pem', 'nats/server-key.pem', signed(nats));
  const listener = `${folderOf('listener')}/certificate`;
  await files.pair(`${listener}.pem`, `${listener}-key.pem`, signed(listeners));
  await files.make('nek/nek.key', () => generateNek('cluster'));
  await files.make(`${folderOf('policy')}/users.yaml`, () => 'users: []\n');
  const passwords = new Map<BusUser, string>();
  for (const user of users) {
    passwords.set(user, await files.password(`${user}/bus-password`));
    await files.put(`${user}/ca.pem`, authority.certificate);
  }
  await files.put('nats/ca.pem', authority.certificate);
  await files.put('nats/users.conf', natsConfig({ passwords, upgrading: false }));
  await files.put('nats/nats.conf', serverConfig(nats));
}

/**
 * Fails with `nek-lost` where a cluster was made before and has no NEK any more. Another one in its place would look like
 * a cluster that is well, and no key of it could sign.
 */
async function requireNek(files: Files): Promise<void> {
  const made = await files.has('authority/authority.pem');
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
  if (certificate.issuer !== signer.subject) return false;
  return (
    !certificate.verify(signer.publicKey) ||
    certificate.validToDate.getTime() < Date.now() + VALID.left * DAY_MS ||
    namesOf(hosts).some((name) => certificate.checkHost(name) === undefined) ||
    addressesOf(hosts).some((address) => certificate.checkIP(address) === undefined)
  );
}

/** What every NATS server of the cluster reads. Names of its files count from its working folder. */
function serverConfig(hosts: readonly string[]): string {
  const routes = hosts.map((host) => `"nats://${isIP(host) === 6 ? `[${host}]` : host}:6222"`);
  return `# The configuration of every NATS server of the cluster, made and kept up to date by "sealpost cluster init".
# Start each in this folder: nats-server -c nats.conf -n <its name> -sd <folder for its store>
listen: "0.0.0.0:4222"
jetstream: enabled
# Known within seconds: a server that hangs, and a process that does.
${SERVER_PINGS}
tls { cert_file: "server.pem", key_file: "server-key.pem" }
cluster {
  name: "sealpost"
  listen: "0.0.0.0:6222"
  routes: [${routes.join(', ')}]
  # Only a server with a certificate of the authority may join.
  tls { cert_file: "server.pem", key_file: "server-key.pem", ca_file: "ca.pem", verify: true }
}
include "users.conf"
`;
}

/** Files for their owner alone, each in place in one step. */
class Files {
  readonly written: string[] = [];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  async has(name: string): Promise<boolean> {
    return (await this.#read(name)) !== undefined;
  }

  /** A file that is made once. */
  async make(name: string, content: () => string): Promise<void> {
    if ((await this.#read(name)) === undefined) await this.#write(name, content());
  }

  /** A file whose content follows from others. */
  async put(name: string, content: string): Promise<void> {
    if ((await this.#read(name)) !== content) await this.#write(name, content);
  }

  async password(name: string): Promise<string> {
    const file = join(this.#folder, name);
    const there = (await this.#read(name)) !== undefined;
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const password = await readPassword(file);
    if (!there) this.written.push(name);
    return password;
  }

  /** A certificate and its key. */
  async pair(
    certificate: string,
    key: string,
    how: { make: () => Promise<CertificatePair>; outdated: (certificate: X509Certificate) => boolean },
  ): Promise<CertificatePair> {
    const [oldCertificate, oldKey] = [await this.#read(certificate), await this.#read(key)];
    if ((oldCertificate === undefined) !== (oldKey === undefined)) {
      const [there, missing] = oldKey === undefined ? [certificate, key] : [key, certificate];
      const text = `${join(this.#folder, there)} is there without ${missing}: add it, or remove the file to have both made`;
      throw new SealpostError('invalid-certificate', text);
    }
    if (oldCertificate !== undefined && oldKey !== undefined) {
      if (!how.outdated(this.#parse(certificate, oldCertificate))) return { certificate: oldCertificate, key: oldKey };
    }
    const pair = await how.make();
    const places = [await this.#prepare(key, pair.key), await this.#prepare(certificate, pair.certificate)];
    for (const place of places) await place();
    return pair;
  }

  #parse(name: string, pem: string): X509Certificate {
    try {
      return new X509Certificate(pem);
    } catch {
      throw new SealpostError('invalid-certificate', `file ${join(this.#folder, name)} holds no PEM certificate`);
    }
  }

  async #read(name: string): Promise<string | undefined> {
    const file = join(this.#folder, name);
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw new SealpostError('init-failed', unreadable(file, error));
    }
  }

  async #write(name: string, text: string): Promise<void> {
    await (await this.#prepare(name, text))();
  }

  /** A new version on disk, and the step that puts it in place. */
  async #prepare(name: string, text: string): Promise<() => Promise<void>> {
    const file = join(this.#folder, name);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const place = await prepareFile(file, text);
    return async () => {
      await place();
      this.written.push(name);
    };
  }
}
