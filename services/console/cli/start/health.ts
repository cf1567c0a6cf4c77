import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { client } from '#cluster/actor.ts';
import type { Denial } from '#cluster/bus/bus.ts';
import { RENEW_PERMISSIONS } from '#cluster/bus/denials.ts';
import { readNeks } from '#cluster/config/nek.ts';
import { NO_CONSOLE_SECTION } from '#cluster/config/rules/servers/console.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import type { RunningNode } from '#services/node.ts';
import { policyContract } from '#services/policy/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import type { ServiceName } from '#services/topology.ts';
import { describeNek } from '#shared/dkim/nek.ts';
import { errorText, SealpostError } from '#shared/errors.ts';
import { consoleContract } from '../../contract.ts';
import type { Health } from './health-check.ts';

/**
 * The health of a process of a cluster, for its supervisor: the health check of its container.
 *
 * The process has a Unix domain socket, for its own user alone. It answers every connection with one `Health` as JSON
 * and closes it. It asks the services of this very process, by the way that all calls take, so one that hangs or cannot
 * do its work is not healthy, nor is one that refused a change of its configuration, that lacks a NEK, or that NATS does not
 * permit what its contracts need. Other processes that are away do not count; a bus that is away does.
 */

/** Subjects that are named: more say no more. */
const MOST_NAMED = 3;
/** How long a service may take to answer. */
const SERVICE_MS = 3000;

/** Answer for the health of `node` at the socket `file`, for as long as the process lives. */
export async function serveHealth(node: RunningNode, services: readonly ServiceName[], file: string): Promise<void> {
  // The socket of an earlier process that was killed.
  await rm(file, { force: true });
  const server = createServer((socket) => {
    // A client that does not wait for the answer.
    socket.on('error', () => socket.destroy());
    void healthOf(node, services).then((health) => socket.end(JSON.stringify(health)));
  });
  // Node binds inside `listen`, so that the mask holds exactly for that call.
  const mask = process.umask(0o177);
  try {
    server.listen(file).unref();
  } finally {
    process.umask(mask);
  }
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new SealpostError('health-failed', `cannot open the health socket ${file}`, { cause });
  }
}

async function healthOf(running: RunningNode, services: readonly ServiceName[]): Promise<Health> {
  const { refused, current } = running.settings;
  const { node, bus } = current;
  const asked = services.map(async (name) => {
    const problems = await CHECKS[name](running).catch((error: unknown) => [errorText(error)]);
    return problems.map((problem) => `${name}: ${problem}`);
  });
  const problems = (await Promise.all(asked)).flat();
  if (bus.servers.length > 0 && !running.bus.connected) problems.push('no NATS server can be reached');
  problems.push(...denialsText(running.bus.denials));
  if (refused !== undefined) problems.push(`the configuration file is not in force: ${refused}`);
  const waits = services.includes('console') && current.console === undefined;
  return {
    ...{ node: node.name, services: [...services], problems },
    ...(waits && { notes: [`console: ${NO_CONSOLE_SECTION}`] }),
  };
}

function denialsText(denials: readonly Denial[]): string[] {
  if (denials.length === 0) return [];
  const subjects = denials.map(({ operation, subject }) => `${operation} on ${subject}`).slice(0, MOST_NAMED);
  const more = denials.length > subjects.length ? ` and ${denials.length - subjects.length} more` : '';
  return [`NATS does not permit ${subjects.join(', ')}${more}: ${RENEW_PERMISSIONS}`];
}

/** Why the NEKs that the configuration names cannot be read; nothing where it names none. */
async function nekProblems({ settings }: RunningNode): Promise<string[]> {
  const { nek } = settings.current.credentials;
  const neks = nek === undefined ? [] : await readNeks(nek);
  return typeof neks === 'string' ? [`its NEK cannot be read: ${neks}`] : [];
}

/** What keeps a service from its work. With the node's name the question stays in this process. */
const CHECKS: Record<ServiceName, (running: RunningNode) => Promise<string[]>> = {
  listener: async (running) => {
    const { listeners } = await client(running.bus, listenerContract)['status-show']({}, thisNode(running));
    return listeners.length === 0 ? ['it listens on no port'] : [];
  },
  policy: async (running) => {
    const question = { session: 'health', listener: 'health', kind: 'relay', address: '127.0.0.1' } as const;
    await client(running.bus, policyContract)['client-check'](question, thisNode(running));
    return nekProblems(running);
  },
  router: async (running) => {
    const { refusing } = await client(running.bus, routerContract)['status-show']({}, thisNode(running));
    return refusing === undefined ? [] : [`it takes no mail: ${refusing}`];
  },
  signer: async (running) => {
    const { loaded, behind, unusable } = await client(running.bus, signerContract)['status-show'](
      {},
      thisNode(running),
    );
    const unread = await nekProblems(running);
    if (!loaded) return [...unread, `it has no keys yet${behind === undefined ? '' : `: ${behind}`}`];
    // Where the NEK cannot be read, no key can be used, for that reason.
    if (unread.length > 0) return unread;
    return unusable.map(({ selector, domain, reason }) => `it cannot sign with ${selector} of ${domain}: ${reason}`);
  },
  'credential-store': async (running) => {
    const store = client(running.bus, credentialStoreContract);
    const { state, problem } = await store['status-show']({}, thisNode(running));
    const { neks } = await store['nek-list']({}, thisNode(running));
    const { node } = thisNode(running);
    const lacking = neks.filter((nek) => nek.lacking.includes(node) && (nek.current || nek.keys > 0));
    const problems = [
      ...(await nekProblems(running)),
      ...lacking.map((nek) => `credentials.nek lacks NEK ${describeNek(nek)}, which the cluster uses`),
    ];
    if (state === 'away')
      problems.push(`it cannot reach the other nodes${problem === undefined ? '' : `: ${problem}`}`);
    if (state === 'behind') problems.push('it has yet to catch up with the other nodes');
    return problems;
  },
  console: async (running) => {
    // It waits for the section: no restart would help.
    if (running.settings.current.console === undefined) return [];
    await client(running.bus, consoleContract)['status-show']({}, thisNode(running));
    return [];
  },
};

function thisNode({ settings }: RunningNode): { node: string; timeout: number } {
  return { node: settings.current.node.name, timeout: SERVICE_MS };
}
