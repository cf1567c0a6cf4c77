import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { client } from '#cluster/actor.ts';
import { credentialStoreContract } from '#services/credential-store/contract.ts';
import { listenerContract } from '#services/listener/contract.ts';
import type { RunningNode } from '#services/node.ts';
import { policyContract } from '#services/policy/contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { signerContract } from '#services/signer/contract.ts';
import type { ServiceName } from '#services/topology.ts';
import { errorText, SealpostError } from '#shared/errors.ts';

/**
 * How a process of a cluster is, for whoever starts it: the health check of its container.
 *
 * The process has a Unix domain socket, for its own user alone. To everybody who connects it says one `Health` as JSON
 * and closes. It asks the services of this very process, by the way that all calls take, so one that hangs or that
 * cannot do its work is not healthy; that others are away is not its fault, but a bus that is away is.
 */
const Health = z.object({ node: z.string(), services: z.array(z.string()), problems: z.array(z.string()) });
export type Health = z.infer<typeof Health>;

/** How long a service may take to say how it is, and a process to say it of all of its services, in milliseconds. */
const SERVICE_MS = 3000;
const PROCESS_MS = 5000;

/** Say how `node` is at the socket `file`, for as long as the process lives. */
export async function serveHealth(node: RunningNode, services: readonly ServiceName[], file: string): Promise<void> {
  // The socket of an earlier process that was killed.
  await rm(file, { force: true });
  const server = createServer((socket) => {
    // One that asks and does not wait for the answer.
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

/** What the process at the socket `file` says. Fails with `no-node` when nobody does, in time. */
export async function askHealth(file: string): Promise<Health> {
  const socket = createConnection(file);
  try {
    socket.setTimeout(PROCESS_MS, () => socket.destroy(new Error(`no answer within ${PROCESS_MS / 1000} s`)));
    return Health.parse(JSON.parse(await text(socket)));
  } catch (error) {
    throw new SealpostError('no-node', `no process says at ${file} how it is: ${errorText(error)}`);
  } finally {
    socket.destroy();
  }
}

async function healthOf(running: RunningNode, services: readonly ServiceName[]): Promise<Health> {
  const { node, bus } = running.settings.current;
  const asked = services.map(async (name) => {
    const problems = await CHECKS[name](running).catch((error: unknown) => [errorText(error)]);
    return problems.map((problem) => `${name}: ${problem}`);
  });
  const problems = (await Promise.all(asked)).flat();
  if (bus.servers.length > 0 && !running.bus.connected) problems.push('no NATS server is reached');
  return { node: node.name, services: [...services], problems };
}

/** What keeps a service from its work. Naming the node keeps the question in this process. */
const CHECKS: Record<ServiceName, (running: RunningNode) => Promise<string[]>> = {
  listener: async (running) => {
    const { listeners } = await client(running.bus, listenerContract)['status-show']({}, here(running));
    return listeners.length === 0 ? ['it listens on no port'] : [];
  },
  policy: async (running) => {
    const question = { session: 'health', listener: 'health', kind: 'relay', address: '127.0.0.1' } as const;
    await client(running.bus, policyContract)['client-check'](question, here(running));
    return [];
  },
  router: async (running) => {
    const { refusing } = await client(running.bus, routerContract)['status-show']({}, here(running));
    return refusing === undefined ? [] : [`it takes no mail: ${refusing}`];
  },
  signer: async (running) => {
    const { loaded, behind } = await client(running.bus, signerContract)['status-show']({}, here(running));
    return loaded ? [] : [`it has no keys yet${behind === undefined ? '' : `: ${behind}`}`];
  },
  'credential-store': async (running) => {
    const { state, problem } = await client(running.bus, credentialStoreContract)['status-show']({}, here(running));
    if (state === 'away') return [`it cannot reach the other nodes${problem === undefined ? '' : `: ${problem}`}`];
    return state === 'behind' ? ['it has yet to catch up with the other nodes'] : [];
  },
};

function here({ settings }: RunningNode): { node: string; timeout: number } {
  return { node: settings.current.node.name, timeout: SERVICE_MS };
}
