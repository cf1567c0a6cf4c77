import { randomBytes, X509Certificate } from 'node:crypto';
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { client } from '#cluster/actor.ts';
import type { Bus } from '#cluster/bus/bus.ts';
import { resolvePaths } from '#cluster/config/paths.ts';
import { type Config, ConfigSchema } from '#cluster/config/schema/schema.ts';
import { addUser } from '#cluster/config/users/edit.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { generateNek } from '#shared/dkim/nek.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { replaceFile } from '#shared/files/replace.ts';
import type { KeyAlgorithm } from '#shared/keys/key.ts';
import type { KeyStatus } from '#shared/keys/key-status.ts';
import { Secret } from '#shared/secret.ts';
import { isSystemError } from '../exit.ts';

/**
 * The node that `sealpost start` runs without a configuration: everything real, on unprivileged ports of the loopback
 * interface, and one route, to capture. No message can leave the machine, because no transport that opens a connection
 * is ever chosen. What it needs is made at the first start and kept in one folder.
 */

/** Where the sandbox lives, from the working directory. */
export const SANDBOX_FOLDER = 'data/sandbox';

export const SANDBOX_USER = { name: 'test', address: 'test@sealpost.test', domain: 'sealpost.test' } as const;

const FILES = {
  certificate: 'certificate.pem',
  key: 'certificate-key.pem',
  nek: 'nek.key',
  users: 'users.yaml',
  password: 'password',
} as const;

const KEYS: { selector: string; algorithm: KeyAlgorithm }[] = [
  { selector: 'rsa', algorithm: 'rsa-2048' },
  { selector: 'ed25519', algorithm: 'ed25519' },
];

/** The sandbox as it would stand in a sealpost.yaml in its folder. */
export function sandboxData(folder: string): Record<string, unknown> {
  const loopback = { address: '127.0.0.1' };
  return {
    node: { name: 'sandbox', hostname: 'localhost', data: folder },
    listeners: [
      { name: 'mx', kind: 'relay', ...loopback, port: 2525, tls: 'starttls' },
      { name: 'submission', kind: 'submission', ...loopback, port: 2587, tls: 'starttls-required' },
      { name: 'submissions', kind: 'submission', ...loopback, port: 2465, tls: 'implicit' },
    ],
    tls: { certificate: FILES.certificate, key: FILES.key },
    // The domain is not in DNS: its keys sign without a proof.
    domains: [{ name: SANDBOX_USER.domain, local: true, signing: { mode: 'enforce' }, keys: { proof: 'none' } }],
    directory: { users: FILES.users },
    routes: [{ to: '*', via: 'capture' }],
    credentials: { nek: FILES.nek },
    console: { people: [{ user: SANDBOX_USER.name, role: 'operator' }] },
  };
}

/** The configuration of the sandbox in `folder` (absolute), whether it was started before or not. */
export function sandboxConfig(folder: string): Config {
  return resolvePaths(ConfigSchema.parse(sandboxData(folder)), folder);
}

/**
 * Make the files that are missing: certificate, NEK, the test user. What is there stays as it is. Fails with
 * `sandbox-failed` where nothing can be written.
 */
export async function prepareSandbox(folder: string): Promise<Config> {
  try {
    return await makeFiles(folder);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const advice = 'run it in a folder that you may write, or name a configuration with --config';
    throw new SealpostError('sandbox-failed', `cannot make the sandbox in ${folder} (${cause.message}): ${advice}`);
  }
}

async function makeFiles(folder: string): Promise<Config> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await makeCertificate(folder);
  await makeFile(join(folder, FILES.nek), () => generateNek('sandbox'));
  await makeFile(join(folder, FILES.password), () => `${randomBytes(9).toString('base64url')}\n`);
  if (!(await exists(join(folder, FILES.users)))) {
    const user = { name: SANDBOX_USER.name, addresses: [SANDBOX_USER.address] };
    await addUser(join(folder, FILES.users), { ...user, password: await sandboxPassword(folder) });
  }
  return sandboxConfig(folder);
}

/** The password of the test user. */
export async function sandboxPassword(folder: string): Promise<Secret> {
  return new Secret((await readFile(join(folder, FILES.password), 'utf8')).trim());
}

/** How long new keys may take until they sign. */
const KEYS_MS = 10_000;

/**
 * Make the DKIM keys that are missing, through the node's own credential-store, and wait until they sign. Fails with
 * `sandbox-failed` when they do not in time.
 */
export async function createSandboxKeys(bus: Bus): Promise<void> {
  const store = client(bus, credentialStoreContract);
  const { domain } = SANDBOX_USER;
  const { keys: known } = await store['key-list']({ domain });
  for (const key of KEYS) {
    if (!known.some((k) => k.selector === key.selector)) await store['key-create']({ domain, ...key, activate: true });
  }
  const end = performance.now() + KEYS_MS;
  for (;;) {
    const { keys } = await store['key-list']({ domain });
    const silent = keys.filter((k) => KEYS.some((own) => own.selector === k.selector) && !signs(k));
    if (silent.length === 0) return;
    if (performance.now() > end) throw new SealpostError('sandbox-failed', silentText(silent));
    await delay(20);
  }
}

/** Whether it signs, or did before it was retired in play. */
const signs = ({ state }: KeyStatus): boolean => !['created', 'replicated', 'published', 'proven'].includes(state);

function silentText(keys: KeyStatus[]): string {
  const reasons = keys.map(
    (k) => `${k.selector} is ${k.state}${k.problem === undefined ? '' : ` (${k.problem.text})`}`,
  );
  return `the keys of ${SANDBOX_USER.domain} do not sign after ${KEYS_MS / 1000} s: ${reasons.join(', ')}; "rm -r ${SANDBOX_FOLDER}" makes the sandbox new`;
}

/** A certificate for localhost, made when it is missing or about to expire. */
async function makeCertificate(folder: string): Promise<void> {
  const files = { certificate: join(folder, FILES.certificate), key: join(folder, FILES.key) };
  if ((await exists(files.key)) && (await exists(files.certificate))) {
    const { validToDate } = new X509Certificate(await readFile(files.certificate));
    if (validToDate.getTime() > Date.now() + 86_400_000) return;
  }
  // Loaded for the first start alone: every command knows this file.
  const { createSelfSigned } = await import('#cluster/certificate.ts');
  const pair = await createSelfSigned({ dns: ['localhost'], ip: ['127.0.0.1', '::1'] }, 365);
  await replaceFile(files.key, pair.key);
  await replaceFile(files.certificate, pair.certificate);
}

async function makeFile(file: string, make: () => string): Promise<void> {
  if (!(await exists(file))) await replaceFile(file, make());
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** `link` signs a browser in to the console, once. */
export type SandboxAccess = { password: Secret; link: string | undefined };

/** What a newcomer needs to know, for a terminal 80 columns wide. */
export function sandboxBanner(config: Config, folder: string, { password, link }: SandboxAccess): string {
  const listeners = config.listeners.map(({ name, address, port, tls, kind }) => {
    const how = { none: 'no TLS', starttls: 'STARTTLS', 'starttls-required': 'STARTTLS required', implicit: 'TLS' }[
      tls
    ];
    const what = kind === 'relay' ? `mail for ${SANDBOX_USER.domain}` : 'mail of users, with a password';
    return `  ${name.padEnd(12)} ${`${address}:${port}`.padEnd(16)} ${how.padEnd(18)} ${what}`;
  });
  const port = config.listeners.find((l) => l.tls === 'starttls-required')?.port;
  const message = `printf 'From: ${SANDBOX_USER.address}\\nTo: friend@example.com\\nSubject: hello\\n\\nhello\\n'`;
  return `
The Sealpost sandbox is up. No mail leaves this machine: all of it is captured in ${SANDBOX_FOLDER}/capture.

${listeners.join('\n')}

  user ${SANDBOX_USER.name}, password ${password.reveal()}, address ${SANDBOX_USER.address}

Send a first message from a second terminal, in this folder:

  npx sealpost send --to friend@example.com

or with curl:

  ${message} |
    curl --ssl-reqd --cacert ${join(folder, FILES.certificate)} smtp://127.0.0.1:${port} \\
    --user '${SANDBOX_USER.name}:${password.reveal()}' --mail-from ${SANDBOX_USER.address} \\
    --mail-rcpt friend@example.com --crlf --upload-file -

then look at it, and at the verdict on its signatures:

  npx sealpost capture list
  npx sealpost capture show 1
${link === undefined ? '' : consoleText(link)}`;
}

function consoleText(link: string): string {
  return `
Or in your browser, which does not know the certificate of this sandbox; this link signs it in, once, within ten
minutes ("npx sealpost console link" makes another):

  ${link}
`;
}
