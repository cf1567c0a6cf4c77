import { setTimeout as delay } from 'node:timers/promises';
import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { routerContract } from '#services/router/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, SealpostError } from '#shared/errors.ts';
import { parseDuration } from '#shared/units.ts';
import { type Caller, type CommonOptions, openCaller, print } from '../context.ts';
import { usageError } from '../exit.ts';

/** `sealpost cluster drain <node>`: tells every process of a node to hand over and end, and watches until they have. */

const LOOK_MS = 1000;
/**
 * A process that has just started does not know the others before each has announced itself, which it does every
 * second.
 */
const HEARD_MS = 2000;
/** What holds mail goes first, since it may not be able to; then what takes mail in; what these need goes last. */
const ORDER = ['router', 'listener'];

type Options = CommonOptions & { timeout: string };
/** A process of a node that is drained; `end` of `performance.now`. */
type Watched = { process: string; node: string; end: number; options: Options };

export async function drainNode(node: string, options: Options): Promise<void> {
  const limit = parseDuration(options.timeout);
  if (limit === undefined) throw usageError(`"${options.timeout}" is not a duration: write 90s, 5m or 4h`);
  await using caller = await openCaller(options);
  const processes = await announcedProcessesOf(caller, node);
  if (processes.length === 0) {
    throw new SealpostError('not-found', `no process of a node ${node} is up: "sealpost cluster status" lists them`);
  }
  for (const text of await lastOnes(caller, node, processes)) console.error(`warning: ${text}`);
  const end = performance.now() + limit;
  for (const { process, services } of processes) {
    await caller.client(memberContract)['member-drain']({}, { node: process });
    const watched = { process, node, end, options };
    if (services.includes('router')) await handedOver(caller, watched);
    await gone(caller, watched);
  }
  const again = (await processesOf(caller, node)).length > 0;
  if (again) {
    const text = `${node} was drained, and was started again since: tell systemd or docker not to start it again first`;
    throw new SealpostError('started-again', text);
  }
  print(options, { node, drained: true }, () => `${node} is drained: its processes have ended`);
}

/** What follows where no other process does what this node does. The queue needs no word: its drain is refused. */
const WITHOUT: Record<string, string> = {
  policy: 'listeners let nobody in (421, 451) until another one starts',
  signer: 'mail that must be signed waits in the queue until another one starts',
  'credential-store': 'keys cannot be changed until another one starts',
  listener: 'no mail is taken in until another one starts',
};

/** A warning for each service of which the last process goes with a node. */
async function lastOnes(caller: Caller, node: string, processes: readonly Member[]): Promise<string[]> {
  const { members } = await caller.client(memberContract)['member-list']({});
  const others = members.filter((m) => m.node !== node && m.state !== 'gone').flatMap(({ services }) => services);
  const going = new Set(processes.flatMap(({ services }) => services));
  return Object.entries(WITHOUT)
    .filter(([service]) => going.has(service) && !others.includes(service))
    .map(([service, text]) => `${node} has the last ${service} of the cluster: ${text}`);
}

/** The processes of a node that run, in the order in which they are to end. */
async function processesOf(caller: Caller, node: string): Promise<Member[]> {
  const { members } = await caller
    .client(memberContract)
    ['member-list']({})
    .catch((error: unknown) => {
      // The last process of the cluster has ended.
      if (errorCode(error) === CALL_ERRORS.unavailable && caller.connected) return { members: [] };
      throw error;
    });
  const rank = ({ services }: Member): number => {
    const at = ORDER.findIndex((name) => services.includes(name));
    return at < 0 ? ORDER.length : at;
  };
  return members.filter((m) => m.node === node && m.state !== 'gone').toSorted((a, b) => rank(a) - rank(b));
}

/** The same, asked again while the process that answers may not have heard of the node yet. */
export async function announcedProcessesOf(caller: Caller, node: string): Promise<Member[]> {
  const end = performance.now() + HEARD_MS;
  for (;;) {
    const processes = await processesOf(caller, node);
    if (processes.length > 0 || performance.now() > end) return processes;
    await delay(LOOK_MS / 4);
  }
}

/** Wait until a router has handed its queue over, and say how much is left meanwhile. */
async function handedOver(caller: Caller, { process, node, end, options }: Watched): Promise<void> {
  let last = -1;
  while (performance.now() < end) {
    const left = await leftAt(caller, process);
    if (left === undefined) return;
    if (left !== last && !Number.isNaN(left) && !options.json) console.error(`${node}: ${left} messages left`);
    last = left;
    await delay(LOOK_MS);
  }
  throw late(node, options.timeout);
}

/** Messages that a router still has; undefined when it has handed over all, or has ended. */
async function leftAt(caller: Caller, process: string): Promise<number | undefined> {
  try {
    const { active, deferred, hold, copies } = await caller
      .client(routerContract)
      ['status-show']({}, { node: process });
    return copies?.drained === true ? undefined : active + deferred + hold;
  } catch (error) {
    if (await hasEnded(caller, process, error)) return undefined;
    return Number.NaN;
  }
}

/** Wait until a process no longer answers and is known to have ended. */
export async function gone(caller: Caller, { process, node, end, options }: Watched): Promise<void> {
  while (performance.now() < end) {
    try {
      await caller.client(memberContract)['member-ping']({}, { node: process, timeout: 2000 });
    } catch (error) {
      if (await hasEnded(caller, process, error)) return;
    }
    await delay(LOOK_MS / 4);
  }
  throw late(node, options.timeout);
}

/**
 * Whether a process that did not answer has ended in good order. Silence may be trouble of NATS, or of the connection to
 * it: another process must say so, or none must be left.
 */
async function hasEnded(caller: Caller, process: string, error: unknown): Promise<boolean> {
  const code = errorCode(error);
  if (code === 'no-node') return true;
  if (code !== CALL_ERRORS.unavailable || !caller.connected) return false;
  try {
    const { members } = await caller.client(memberContract)['member-list']({}, { timeout: 2000 });
    return members.find((m) => m.process === process)?.stopped !== false;
  } catch (second) {
    return errorCode(second) === CALL_ERRORS.unavailable && caller.connected;
  }
}

function late(node: string, limit: string): SealpostError {
  return new SealpostError(
    'not-drained',
    `${node} has not ended within ${limit}: the drain goes on, ask "sealpost cluster status"`,
  );
}
