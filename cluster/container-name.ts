import { Resolver } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';

/**
 * What people call a container. Its host name is an id where nobody chose one, and 3f2a9c1b7d4e does not say which of
 * two listeners it is. Docker's name server knows the containers of a network by their addresses, as they are in
 * `docker ps`: `sealpost_policy_2.sealpost_default` (with Compose v2 `sealpost-policy-2.…`), which is policy-2 here.
 */

/** Docker's name server, in networks other than its first one. */
const SERVER = '127.0.0.11';
const ASKED = { timeout: 1000, tries: 2 };
let learned: Promise<string | undefined> | undefined;
let known: string | undefined;

/**
 * Ask for it, once in the life of the process, so that a node keeps its name. Never fails: a container whose network has
 * no such server has its host name.
 */
export async function learnContainerName(): Promise<void> {
  if (!isContainerId(process.env['HOSTNAME'] ?? '')) return;
  learned ??= askForName();
  known = await learned;
}

/** The host name where it was chosen, else what was learned, else the id. */
export function containerName(): string | undefined {
  const host = process.env['HOSTNAME'];
  return host !== undefined && isContainerId(host) ? (known ?? host) : host;
}

const isContainerId = (name: string): boolean => /^[0-9a-f]{12}$/.test(name);

async function askForName(): Promise<string | undefined> {
  const resolver = new Resolver(ASKED);
  if (!resolver.getServers().includes(SERVER)) return undefined;
  const addresses = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address),
  );
  // The hosts file, where dns.reverse looks first, has the id.
  const asked = addresses.map((address) =>
    resolver.resolvePtr(`${address.split('.').toReversed().join('.')}.in-addr.arpa`),
  );
  const answers = (await Promise.allSettled(asked)).flatMap((answer) =>
    answer.status === 'fulfilled' ? answer.value : [],
  );
  // Every container of a project is in its default network, most in no other.
  const [name] = answers.toSorted((a, b) => Number(b.endsWith(DEFAULT)) - Number(a.endsWith(DEFAULT)));
  return name === undefined ? undefined : nameOf(name);
}

const DEFAULT = '_default';

/** The name of a container, without the project where its network tells which that is; undefined where it is no node's name. */
export function nameOf(answer: string): string | undefined {
  const dot = answer.lastIndexOf('.');
  const [container, network] = [answer.slice(0, dot), answer.slice(dot + 1)];
  const project = network.endsWith(DEFAULT) ? network.slice(0, -DEFAULT.length) : undefined;
  const isOfProject =
    project !== undefined && container.startsWith(project) && /^[_-]./.test(container.slice(project.length));
  const name = (isOfProject ? container.slice(project.length + 1) : container).replaceAll(/[^a-zA-Z0-9-]/g, '-');
  return /^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}$/.test(name) ? name : undefined;
}
