import { type Member, memberContract } from '#cluster/members/member-contract.ts';
import { type Lock, type LockSelection, policyContract } from '#services/policy/contract.ts';
import { CALL_ERRORS } from '#shared/contract.ts';
import { SealpostError } from '#shared/errors.ts';
import type { Clients } from '../clients.ts';

/** What locks log-ins after too many failures. Each process with a policy service knows its own. */

/** What an instance of policy answered. */
type Answer = { node: string; locks: Lock[]; more: number };
/** A lock, and the nodes that know it. */
export type FoundLock = Lock & { nodes: string[] };

export type LocksFound = {
  /** Those that open last first. */
  locks: FoundLock[];
  /** How many are left out. */
  more: number;
  /** Nodes that answered. */
  nodes: string[];
  /** Those that did not. */
  silent: { node: string; error: unknown }[];
};

/** List or lift locks at every process with a policy service. Fails as the first of them where none answers. */
export async function askPolicies(
  clients: Clients,
  operation: 'lock-list' | 'lock-lift',
  selection: LockSelection,
): Promise<LocksFound> {
  const { members } = await clients.client(memberContract)['member-list']({});
  const policies = members.filter(({ services }) => services.includes('policy'));
  const live = policies.filter(({ state }) => state !== 'gone');
  if (live.length === 0) {
    throw new SealpostError(
      CALL_ERRORS.unavailable,
      'no policy service is up: "sealpost cluster status" shows what is',
    );
  }
  const policy = clients.client(policyContract);
  const ask = async ({ node, process }: Member): Promise<Answer> => ({
    node,
    ...(await policy[operation](selection, { node: process })),
  });
  const outcomes = await Promise.allSettled(live.map(ask));
  const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const silent = outcomes.flatMap((outcome, n) =>
    outcome.status === 'rejected' ? [{ node: live[n]?.node ?? '', error: outcome.reason as unknown }] : [],
  );
  if (answers.length === 0) throw silent[0]?.error;
  const lost = policies.filter(({ state, stopped }) => state === 'gone' && !stopped).map(({ node }) => node);
  const unheard = new Set(lost).difference(new Set(live.map(({ node }) => node)));
  const gone = new SealpostError(CALL_ERRORS.timeout, 'nothing is heard of its policy service');
  silent.push(...[...unheard].map((node) => ({ node, error: gone })));
  const more = Math.max(0, ...answers.map((answer) => answer.more));
  const nodes = [...new Set(answers.map(({ node }) => node))].toSorted();
  return { locks: merge(answers), more, nodes, silent };
}

function merge(answers: readonly Answer[]): FoundLock[] {
  const found = new Map<string, FoundLock>();
  for (const { node, locks } of answers) {
    for (const lock of locks) {
      const key = JSON.stringify([lock.user, lock.network]);
      const known = found.get(key);
      const nodes = [...new Set([...(known?.nodes ?? []), node])].toSorted();
      const longer = known !== undefined && known.opensMs > lock.opensMs ? known : lock;
      found.set(key, { ...longer, nodes });
    }
  }
  return [...found.values()].toSorted((a, b) => b.opensMs - a.opensMs);
}
