import { reasonText, SealpostError } from '#shared/errors.ts';
import type { Holder } from '#shared/keys/holders.ts';
import type { DriverEffects } from './effects.ts';

/** The live nodes, as a driver knows and asks them. */

/** A live holder that has not seen a revision of the store; undefined when all have. */
export function lateHolder(holders: readonly Holder[], revision: number): Holder | undefined {
  return holders.find((h) => h.revision < revision);
}

/**
 * Ask every node with a live service of this kind; the answers of those that are still live. Fails with the reason of the
 * first of them that fails.
 */
export async function everyNode<T>(
  effects: DriverEffects,
  kind: Holder['kind'],
  ask: (node: string) => Promise<T>,
): Promise<T[]> {
  const nodes = nodesOf(effects, kind);
  const answers = await Promise.allSettled(nodes.map(ask));
  const still = nodesOf(effects, kind);
  return answers.flatMap((answer, i) => {
    const node = nodes[i] ?? '';
    if (!still.includes(node)) return [];
    if (answer.status === 'fulfilled') return [answer.value];
    throw new SealpostError('waiting', `node ${node}: ${reasonText(answer.reason)}`);
  });
}

function nodesOf(effects: DriverEffects, kind: Holder['kind']): string[] {
  const nodes = live(effects).flatMap((h) => (h.kind === kind ? [h.node] : []));
  return [...new Set(nodes)].sort();
}

/** Fails with `cut-off` when this node must not drive any more. */
export function live(effects: DriverEffects): Holder[] {
  const holders = effects.live();
  if (holders === undefined) throw new SealpostError('cut-off', `node ${effects.node} is cut off from the others`);
  return holders;
}

/**
 * The live store after this node's in the order of names, where each comes in its turn; undefined where there is no
 * other.
 */
export function nextStore(holders: readonly Holder[], node: string): string | undefined {
  const stores = holders.filter((h) => h.kind === 'credential-store' && h.behind === undefined && h.node !== node);
  const names = stores.map((h) => h.node).sort();
  return names.find((name) => name > node) ?? names[0];
}
