import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Caller } from '../context.ts';

/** `up`: in the order of their names; `silent`: those that fell silent without a word, whose mail nobody can list. */
export type Routers = { up: string[]; silent: string[] };

/**
 * The nodes whose routers a command is about: the one that it names, else all that the cluster knows. Without a bus that is
 * this node. Fails with `unavailable` where none is up.
 */
export async function findRouters(caller: Caller, named?: string): Promise<Routers> {
  if (named !== undefined) return { up: [named], silent: [] };
  const { members } = await caller.client(memberContract)['member-list']({});
  const routers = members.filter(({ services }) => services.includes('router'));
  const nodes = (which: (member: Member) => boolean): Set<string> =>
    new Set(routers.filter(which).map(({ node }) => node));
  const up = nodes(({ state }) => state !== 'gone');
  const silent = nodes(({ state, stopped }) => state === 'gone' && !stopped).difference(up);
  if (up.size > 0) return { up: [...up].toSorted(), silent: [...silent].toSorted() };
  throw new SealpostError(CALL_ERRORS.unavailable, 'no router is up: "sealpost cluster status" shows what is');
}

/** The nodes of those that are up. */
export async function routersOf(caller: Caller, named?: string): Promise<string[]> {
  return (await findRouters(caller, named)).up;
}
