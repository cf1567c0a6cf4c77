import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describeNek, findNek, type Nek, parseNeks } from '#shared/dkim/nek.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Secret } from '#shared/secret.ts';
import { add, type FileCheck, place } from './files/check.ts';
import { checkConsole, checkMetrics } from './files/servers.ts';
import { checkWebhooks } from './files/webhooks.ts';
import type { Problem } from './problems/problem.ts';
import { ldapWarnings } from './rules/ldap.ts';
import { certificateWarnings, proxyWarnings, relayWarnings } from './rules/relay.ts';
import { missingSources } from './rules/routes.ts';
import type { RouteOauth } from './schema/oauth.ts';
import type { RouteHop } from './schema/route.ts';
import type { Config } from './schema/schema.ts';
import { modeWarning, readSecret, SecretReference, unreadable } from './secrets.ts';
import { checkAuthorities, checkPair, stsWarnings } from './tls-files.ts';

/**
 * Checks of what the configuration says about this machine: files that must be there and readable, certificates that must
 * match their keys, secrets that must be read. Paths are absolute by now.
 */

/**
 * Which services read the files of a section. A process that runs none of them does not look at them: it may not be
 * allowed to, and must not hold what it does not need. The files of the other sections are for every process.
 */
const READERS: Partial<Record<keyof Config, readonly string[]>> = {
  node: ['listener', 'router'],
  relay: ['listener', 'policy'],
  tls: ['listener', 'credential-store'],
  listeners: ['listener'],
  certificates: ['credential-store'],
  directory: ['policy'],
  authentication: ['policy'],
  credentials: ['credential-store', 'signer'],
  rewrite: ['policy'],
  routes: ['router'],
  dns: ['credential-store'],
  console: ['console'],
  webhooks: ['router', 'credential-store'],
};

/**
 * The files of the configuration looked at, and its secrets in place: all, or those that `services` need; the other
 * secrets stay references then.
 */
export async function checkFiles(config: Config, services?: readonly string[]): Promise<FileCheck> {
  const check: FileCheck = { config, problems: [], warnings: [] };
  const needs = (section: keyof Config): boolean =>
    services === undefined || (READERS[section] ?? services).some((reader) => services.includes(reader));
  if (needs('node')) checkHostname(check);
  if (needs('relay'))
    check.warnings.push(...relayWarnings(config), ...proxyWarnings(config), ...certificateWarnings(config));
  const ofCertificates = needs('tls')
    ? await checkTls(check, services === undefined || services.includes('listener'))
    : [];
  if (needs('listeners')) await checkListeners(check);
  await checkBus(check);
  await checkMetrics(check);
  if (needs('console')) await checkConsole(check, services === undefined || services.includes('listener'));
  if (needs('directory')) await checkDirectory(check);
  if (needs('directory')) await checkLdap(check);
  if (needs('authentication')) await checkProviders(check);
  if (needs('credentials') || (needs('rewrite') && config.rewrite.srs !== undefined)) {
    const ofKeys = await checkNek(check, ['credentials', 'nek'], config.credentials.nek);
    check.problems.push(...sharedNeks(ofKeys, ofCertificates));
  }
  if (needs('certificates')) {
    for (const [i, { acme }] of config.certificates.entries()) {
      if (acme.ca !== undefined) add(check, await checkAuthorities(['certificates', i, 'acme', 'ca'], acme.ca));
    }
  }
  await checkData(check);
  if (needs('routes')) await checkRoutes(check);
  if (needs('dns')) await placeZoneSecrets(check);
  if (needs('webhooks')) await checkWebhooks(check);
  return check;
}

/** The default name suits a machine that talks to itself alone. */
function checkHostname({ config, warnings }: FileCheck): void {
  const { node, listeners, routes } = config;
  const talks =
    listeners.some(({ address }) => !/^(127\.|::1$)/.test(address)) || routes.some(({ via }) => via === 'mx');
  if (node.hostname !== 'localhost' || !talks) return;
  warnings.push(
    'node.hostname is not set, so this server calls itself localhost, and many servers refuse mail from that: set it to the name that DNS has for its address',
  );
}

/** `isListener`: a credential-store alone reads the NEK of certificates, and no file of a certificate. */
async function checkTls(check: FileCheck, isListener: boolean): Promise<Nek[]> {
  const { tls } = check.config;
  if (tls === undefined) return [];
  const neks = await checkNek(check, ['tls', 'nek'], tls.nek);
  if (!isListener) return neks;
  const { certificate, key } = tls;
  if (certificate !== undefined && key !== undefined) add(check, await checkPair(['tls'], { certificate, key }));
  for (const [i, pair] of tls.names.entries()) add(check, await checkPair(['tls', 'names', i], pair));
  check.warnings.push(...(await stsWarnings(check.config)));
  return neks;
}

/** Listeners hold the NEKs of certificates: none of them may open a DKIM key. */
function sharedNeks(ofKeys: readonly Nek[], ofCertificates: readonly Nek[]): Problem[] {
  return ofCertificates.flatMap((nek) =>
    findNek(ofKeys, nek.fingerprint) === undefined
      ? []
      : [
          {
            path: ['tls', 'nek'],
            message: `NEK ${describeNek(nek)} is in credentials.nek too, so a listener could open the DKIM keys: make another one for tls.nek`,
          },
        ],
  );
}

async function checkListeners(check: FileCheck): Promise<void> {
  for (const [i, listener] of check.config.listeners.entries()) {
    const ca = listener['client-certificates']?.ca;
    if (ca !== undefined) add(check, await checkAuthorities(['listeners', i, 'client-certificates', 'ca'], ca));
  }
}

async function warnAboutMode(check: FileCheck, file: string): Promise<void> {
  const warning = await modeWarning(file);
  if (warning !== undefined) check.warnings.push(warning);
}

async function checkBus(check: FileCheck): Promise<void> {
  const { bus } = check.config;
  const { ca, certificate, key } = bus.tls ?? {};
  if (ca !== undefined) add(check, await checkAuthorities(['bus', 'tls', 'ca'], ca));
  if (certificate !== undefined && key !== undefined) add(check, await checkPair(['bus', 'tls'], { certificate, key }));
  if (typeof bus.user === 'object') await place(check, ['bus', 'user'], new SecretReference(bus.user));
  const password = await place(check, ['bus', 'password'], bus.password);
  if (password !== undefined) check.config = { ...check.config, bus: { ...bus, password } };
}

async function checkDirectory(check: FileCheck): Promise<void> {
  const { users } = check.config.directory;
  if (users === undefined) return;
  try {
    await readFile(users);
    await warnAboutMode(check, users);
  } catch (error) {
    const hint = errorCode(error) === 'ENOENT' ? '; "npx sealpost users add" makes it' : '';
    check.problems.push({ path: ['directory', 'users'], message: `${unreadable(users, error)}${hint}` });
  }
}

async function checkProviders(check: FileCheck): Promise<void> {
  for (const [i, { ca }] of check.config.authentication.oauth.entries()) {
    if (ca !== undefined) add(check, await checkAuthorities(['authentication', 'oauth', i, 'ca'], ca));
  }
}

async function checkLdap(check: FileCheck): Promise<void> {
  const { directory } = check.config;
  const { ldap } = directory;
  if (ldap === undefined) return;
  check.warnings.push(...ldapWarnings(ldap));
  if (ldap.ca !== undefined) add(check, await checkAuthorities(['directory', 'ldap', 'ca'], ldap.ca));
  const password = await place(check, ['directory', 'ldap', 'password'], ldap.password);
  if (password !== undefined) {
    check.config = { ...check.config, directory: { ...directory, ldap: { ...ldap, password } } };
  }
}

async function checkNek(check: FileCheck, path: ['credentials' | 'tls', 'nek'], nek: NekSource): Promise<Nek[]> {
  if (nek === undefined) return [];
  try {
    const reference = new SecretReference(typeof nek === 'string' ? { file: nek } : nek);
    const { secret, warning } = await readSecret(reference);
    if (warning !== undefined) check.warnings.push(warning);
    return parseNeks(secret.reveal());
  } catch (error) {
    if (!(error instanceof SealpostError)) throw error;
    const makes = typeof nek === 'string' && path[0] === 'credentials';
    const how = makes ? 'keymgmt create nek <name>" makes one' : 'keys nek <name>" prints a new one';
    const hint = error.code === 'secret-missing' ? `; "npx sealpost ${how}` : '';
    check.problems.push({ path, message: `${error.message}${hint}` });
    return [];
  }
}

type NekSource = Config['credentials']['nek'];

/** The data folder must be ours to write, or to make. Looking changes nothing. */
async function checkData(check: FileCheck): Promise<void> {
  const { data } = check.config.node;
  const path = ['node', 'data'];
  for (let folder = data; ; folder = dirname(folder)) {
    try {
      if (!(await stat(folder)).isDirectory()) {
        check.problems.push({ path, message: `${folder} is a file, a folder is needed` });
        return;
      }
      await access(folder, constants.W_OK | constants.X_OK);
      return;
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && folder !== dirname(folder)) continue;
      check.problems.push({ path, message: `folder ${data} cannot be written: ${errorText(error)}` });
      return;
    }
  }
}

async function checkRoutes(check: FileCheck): Promise<void> {
  const placed: Config['routes'] = [];
  for (const { path, address } of missingSources(check.config))
    check.warnings.push(
      `${path}: this machine does not have the address ${address}: mail on this route waits until it has`,
    );
  for (const [i, route] of check.config.routes.entries()) {
    const path = ['routes', i];
    if (route.ca !== undefined) add(check, await checkAuthorities([...path, 'ca'], route.ca));
    const { via } = route;
    const hops = typeof via === 'string' ? via : await placeHops(check, [...path, 'via'], via);
    placed.push({ ...route, ...(await placeLogin(check, path, route)), via: hops });
  }
  check.config = { ...check.config, routes: placed };
}

async function placeHops(check: FileCheck, path: PropertyKey[], via: readonly (string | RouteHop)[]) {
  const placed: (string | RouteHop)[] = [];
  for (const [i, entry] of via.entries())
    placed.push(typeof entry === 'string' ? entry : { ...entry, ...(await placeLogin(check, [...path, i], entry)) });
  return placed;
}

type Login = Pick<RouteHop, 'password' | 'oauth'>;

async function placeLogin(check: FileCheck, path: PropertyKey[], given: Login): Promise<Login> {
  const password = await place(check, [...path, 'password'], given.password);
  const oauth = given.oauth && (await placeGrant(check, [...path, 'oauth'], given.oauth));
  return { ...(password && { password }), ...(oauth && { oauth }) };
}

async function placeGrant(check: FileCheck, path: PropertyKey[], grant: RouteOauth): Promise<RouteOauth> {
  if (grant.ca !== undefined) add(check, await checkAuthorities([...path, 'ca'], grant.ca));
  const placed = { ...grant };
  for (const name of ['client-secret', 'refresh-token'] as const) {
    const secret = await place(check, [...path, name], grant[name]);
    if (secret !== undefined) placed[name] = secret;
  }
  return placed;
}

async function placeZoneSecrets(check: FileCheck): Promise<void> {
  const { dns } = check.config;
  const zones: Config['dns']['zones'] = [];
  for (const [i, zone] of dns.zones.entries()) {
    const path = ['dns', 'zones', i, 'update', 'secret'];
    const secret = await place(check, path, zone.update?.secret);
    if (zone.update === undefined || secret === undefined) zones.push(zone);
    else zones.push({ ...zone, update: { ...zone.update, secret: checkTsigSecret(check, path, secret) } });
  }
  check.config = { ...check.config, dns: { ...dns, zones } };
}

/** Buffer skips what is not base64: only a text that comes back unchanged is the secret that was meant. */
function checkTsigSecret(check: FileCheck, path: PropertyKey[], secret: Secret): Secret {
  // What could not be read is a problem already.
  if (secret instanceof SecretReference) return secret;
  const text = secret.reveal();
  if (Buffer.from(text, 'base64').toString('base64') !== text) {
    const message = 'the secret of a TSIG key is base64, as tsig-keygen prints it; this one is not';
    check.problems.push({ path, message });
  }
  return secret;
}
