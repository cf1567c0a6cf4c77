import { memberContract } from '#cluster/members/member-contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Caller } from '../context.ts';

/**
 * The nodes whose routers a command is about: the one that it names, else all that the cluster knows, in the order of
 * their names. Without a bus that is this node. Fails with `unavailable` where there is none.
 */
export async function routersOf(caller: Caller, named?: string): Promise<string[]> {
  if (named !== undefined) return [named];
  const { members } = await caller.client(memberContract)['member-list']({});
  const nodes = members.flatMap(({ node, state, services }) =>
    state !== 'gone' && services.includes('router') ? [node] : [],
  );
  if (nodes.length > 0) return [...new Set(nodes)].toSorted();
  throw new SealpostError(CALL_ERRORS.unavailable, 'no router is up: "sealpost cluster status" shows what is');
}
