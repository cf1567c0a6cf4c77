import type { ReplicatedMap } from '#cluster/replicated/map.ts';

type Followed = Pick<ReplicatedMap<unknown>, 'state' | 'problem' | 'canChange' | 'refused'>;

/** Why this node may not know the newest records; empty when it does. */
export function behindOf({ state, problem, canChange, refused }: Followed): { behind?: string } {
  if (!canChange && refused.length > 0) return { behind: 'it has no NEK (credentials.nek) to check what others send' };
  return state === 'local' || state === 'following'
    ? {}
    : { behind: problem ?? 'it has yet to catch up with the others' };
}
