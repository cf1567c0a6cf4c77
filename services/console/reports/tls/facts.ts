import { type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { rootCertificates } from 'node:tls';
import { type Certificates, certificatesIn, type Fault, isFault, privateKeyIn } from '#cluster/config/pem.ts';
import type { Config } from '#cluster/config/schema/schema.ts';
import { refusal } from '#cluster/config/tls-files.ts';
import { errorCode, errorText } from '#shared/errors.ts';
import { type Chain, chainOf } from './chain.ts';
import type { PublishedFacts } from './published/facts.ts';

/** What `sealpost tls check` knows: the configuration, and what is in the files that it names. */

export type TlsFacts = {
  /** ms since 1970: the time for which certificates are looked at */
  now: number;
  hostname: string;
  listeners: Config['listeners'];
  /** The listeners also have the certificates of the cluster, which are not in files. */
  shared?: boolean;
  pairs: Pair[];
  /** What others find in DNS and on the web; absent: not looked at. */
  published?: PublishedFacts;
};

/** A certificate with its chain, and its private key. */
export type Pair = {
  certificate: TlsFile<Certificates>;
  key: TlsFile<KeyObject>;
  /** Whom it is shown: clients of the listeners, or NATS servers, which have an authority of ours. */
  role: 'server' | 'client';
  /** Names that a client asks for to get it (SNI); none for the one that all others get. */
  hosts: readonly string[];
  /** Undefined where the certificate cannot be read. */
  chain?: Chain;
  /** Why OpenSSL does not take the two. */
  refused?: string;
};

/** A file, named by `option` of the configuration: what it holds, or why that cannot be used. */
export type TlsFile<T> = {
  option: string;
  file: string;
  /** Permission bits; undefined where they cannot be read. */
  mode?: number;
  content?: T;
  fault?: FileFault;
};

export type FileFault = Omit<Fault, 'kind'> & { kind: Fault['kind'] | 'missing' | 'unreadable' };

type Names = { option: string; certificate: string; key: string };

/** Read the files. `roots`: the public authorities. */
export async function gatherTls(
  config: Pick<Config, 'node' | 'listeners' | 'tls' | 'bus'>,
  now: number,
  roots: readonly X509Certificate[] = publicRoots(),
): Promise<TlsFacts> {
  const { node, listeners, tls, bus } = config;
  const pair = (names: Names, role: Pair['role'], hosts: readonly string[]) => readPair(names, { role, hosts }, roots);
  const { certificate, key } = bus.tls ?? {};
  const pairs = await Promise.all([
    ...(tls?.certificate === undefined || tls.key === undefined
      ? []
      : [pair({ option: 'tls', certificate: tls.certificate, key: tls.key }, 'server', [])]),
    ...(tls?.names ?? []).map((entry, i) => pair({ option: `tls.names[${i}]`, ...entry }, 'server', entry.hosts)),
    ...(certificate === undefined || key === undefined
      ? []
      : [pair({ option: 'bus.tls', certificate, key }, 'client', [])]),
  ]);
  return { now, hostname: node.hostname, listeners, shared: tls?.nek !== undefined, pairs };
}

const publicRoots = (): X509Certificate[] => rootCertificates.map((pem) => new X509Certificate(pem));

async function readPair(
  names: Names,
  use: Pick<Pair, 'role' | 'hosts'>,
  roots: readonly X509Certificate[],
): Promise<Pair> {
  const certificate = await readMaterial(`${names.option}.certificate`, names.certificate, certificatesIn);
  const key = await readMaterial(`${names.option}.key`, names.key, privateKeyIn);
  const chain = certificate.content && chainOf(certificate.content, key.content, roots);
  const refused = certificate.bytes && key.bytes && refusal(certificate.bytes, key.bytes);
  return {
    certificate: certificate.material,
    key: key.material,
    ...use,
    ...(chain && { chain }),
    ...(refused !== undefined && { refused }),
  };
}

async function readMaterial<T extends object>(
  option: string,
  file: string,
  parse: (bytes: Buffer, file: string) => T | Fault,
): Promise<{ material: TlsFile<T>; content?: T; bytes?: Buffer }> {
  const mode = await stat(file).then(
    (found) => ({ mode: found.mode & 0o777 }),
    () => ({}),
  );
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    return { material: { option, file, ...mode, fault: await unread(option, file, error) } };
  }
  const content = parse(bytes, file);
  if (isFault(content)) return { material: { option, file, ...mode, fault: content } };
  return { material: { option, file, ...mode, content }, content, bytes };
}

/** Why a file cannot be read, and by whom. */
export async function unread(option: string, file: string, error: unknown): Promise<FileFault> {
  switch (errorCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return { kind: 'missing', text: 'does not exist', help: `put it there, or name the right file in ${option}` };
    case 'EISDIR':
      return { kind: 'unreadable', text: 'is a folder', help: `name a file in it in ${option}` };
    case 'EACCES': {
      const owner = await stat(file).then(
        ({ uid, mode }) => `it belongs to uid ${uid} and has mode ${(mode & 0o777).toString(8)}`,
        () => 'a folder on its path is closed to this user',
      );
      const help = 'run this command as the user of the service; if it is that one, give it the right to read the file';
      return { kind: 'unreadable', text: `cannot be read by ${whoAmI()}: ${owner}`, help };
    }
    default:
      return { kind: 'unreadable', text: `cannot be read: ${errorText(error)}`, help: 'see to the disk it is on' };
  }
}

function whoAmI(): string {
  const uid = process.getuid?.() ?? '?';
  try {
    return `${userInfo().username} (uid ${uid})`;
  } catch {
    // A container may run as a user that has no entry in its passwd file.
    return `uid ${uid}`;
  }
}
