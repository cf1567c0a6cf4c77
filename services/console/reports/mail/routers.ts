import type { Member } from '#cluster/members/member-contract.ts';
import type { ServiceName } from '#services/topology.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { errorCode, errorText, SealpostError } from '#shared/errors.ts';
import type { Cluster } from '../clients.ts';

/** `up`: in the order of their names; `silent`: those that fell silent without a word, whose mail nobody can list. */
export type Routers = { up: string[]; silent: string[] };

/**
 * The nodes whose routers are asked: the one that is named, else all that the cluster knows. Without a bus
 * that is this node. Fails with `unavailable` where none is up.
 */
export async function findRouters(cluster: Pick<Cluster, 'meet'>, named?: string): Promise<Routers> {
  if (named !== undefined) return { up: [named], silent: [] };
  const routers = nodesOf(await cluster.meet(), 'router');
  if (routers.up.length > 0) return routers;
  throw new SealpostError(CALL_ERRORS.unavailable, 'no router is up: "sealpost cluster status" shows what is');
}

/** The nodes that run a service. */
export function nodesOf(members: readonly Member[], service: ServiceName): Routers {
  const running = members.filter(({ services }) => services.includes(service));
  const nodes = (which: (member: Member) => boolean): Set<string> =>
    new Set(running.filter(which).map(({ node }) => node));
  const up = nodes(({ state }) => state !== 'gone');
  const silent = nodes(({ state, stopped }) => state === 'gone' && !stopped).difference(up);
  return { up: [...up].toSorted(), silent: [...silent].toSorted() };
}

/** Why nobody asks a router that fell silent. */
export const unheard = (): SealpostError => new SealpostError(CALL_ERRORS.timeout, 'nothing is heard of its router');

/**
 * What each router answers, in the order of their names; those that do not are told to `onSilent` and left out. Fails as
 * the first of them where none answers.
 */
export async function askEach<T>(
  { up, silent }: Routers,
  ask: (node: string) => Promise<T>,
  onSilent: (node: string, error: unknown) => void,
): Promise<T[]> {
  const outcomes = await Promise.allSettled(up.map(ask));
  const failed = outcomes.find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected' && outcomes.every(({ status }) => status === 'rejected')) throw failed.reason;
  for (const node of silent) onSilent(node, unheard());
  return outcomes.flatMap((outcome, n) => {
    if (outcome.status === 'fulfilled') return [outcome.value];
    onSilent(up[n] ?? '', outcome.reason);
    return [];
  });
}

/**
 * What each router says that has the message, all asked at the same time. Fails as `whereItIs` where none has it.
 */
export async function whereverItIs<T>(routers: Routers, ask: (node: string) => Promise<T>): Promise<T[]> {
  const outcomes = await Promise.allSettled(routers.up.map(ask));
  const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  if (answers.length > 0) return answers;
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
  const [first] = failures;
  if (routers.up.length + routers.silent.length === 1) throw first;
  throw nowhere(routers, failures);
}

/**
 * What the router says that has the message; one that does not answer is passed over. Where none has it, fails with
 * `not-found`, or as the first failed of which that is not known.
 */
export async function whereItIs<T>({ up, silent }: Routers, ask: (node: string) => Promise<T>): Promise<T> {
  const failures: unknown[] = [];
  for (const node of up) {
    try {
      return await ask(node);
    } catch (error) {
      if (up.length + silent.length === 1) throw error;
      failures.push(error);
    }
  }
  throw nowhere({ up, silent }, failures);
}

/** Why no message was found: `errors` are those of the nodes that are up, in their order. */
function nowhere({ up, silent }: Routers, errors: readonly unknown[]): unknown {
  const failures = [
    ...up.map((node, n) => ({ node, error: errors[n] })),
    ...silent.map((node) => ({ node, error: unheard() })),
  ];
  const unknown = failures.find((failure) => errorCode(failure.error) !== 'not-found');
  const text = failures.map(({ node, error }) => `${node}: ${errorText(error)}`).join('; ');
  if (unknown === undefined) return new SealpostError('not-found', text);
  const { error } = unknown;
  return error instanceof SealpostError ? new SealpostError(error.code, text) : error;
}
